"""In: one dial and a few settings. Out: every size and rate of the network and its training."""

import dataclasses
from typing import Final, NamedTuple

from residency.contract.packed import ATTACHMENT_KINDS
from residency.contract.specs import spec


class Shape(NamedTuple):
    """What a size means.

    Attributes:
        width: of a moment's vector.
        depth: layers of the trunk.
        code_rank: width of a target's vector in the hazard head.
        learning_rate: the highest.
        batch_moments: rows of a batch, padding included.
        passes: how often training sees each train patient.
        panel: most codes whose standing state the network reads.
        drop: share of numbers dropped in training: small data are learnt by heart without.
    """

    width: int
    depth: int
    code_rank: int
    learning_rate: float
    batch_moments: int
    passes: int
    panel: int
    drop: float


SIZES: Final[dict[str, Shape]] = {
    "tiny": Shape(32, 1, 8, 4e-3, 512, 4, 48, 0.15),
    "small": Shape(64, 2, 16, 3e-3, 1024, 6, 160, 0.15),
    "base": Shape(128, 3, 32, 2e-3, 2048, 8, 192, 0.0),
    "large": Shape(256, 6, 64, 1e-3, 8192, 6, 256, 0.0),
    "huge": Shape(512, 12, 128, 6e-4, 16384, 4, 256, 0.0),
}
AUTO: Final = "auto"
_LEAST_STEPS: Final = 300  # fewer teach nothing, however few the patients
_FLOOR_EVENTS: Final = {"small": 20_000, "base": 1_000_000, "large": 50_000_000, "huge": 1_000_000_000}


@spec
class ModelSpec:
    """How large a model to train, and for how long.

    Attributes:
        size: the dial: `tiny`, `small`, `base`, `large`, `huge`; `auto` looks at the number of train events.
        passes: how often training sees each train patient; 0 takes the size's own, more on few patients.
        context: moments that a moment attends to, itself and the patient's first included.
        min_patients: train patients that a code needs for a hazard of its own.
        seed: of weights, order, drop-out and bootstrap.
        threads: of the processor; part of *same bytes*.
        device: `cpu` or `cuda`; same bytes are promised on `cpu` alone.
        precision: of the trunk's matrix products, `float32` or `bfloat16`; `auto` takes bfloat16 on a GPU:
            without AMX, a processor is four times slower in it (LOG).
        compiled: whether the trunk goes through `torch.compile` first, which takes a minute or more.
        save_seconds: time between checkpoints.
        note_encoder: the part that reads notes, by its name; empty to leave notes out.
        image_encoder: the same for images.
        variants_encoder: the same for genomes.
        modality_drop: share of windows trained on as though there were no notes, no images, no genome, each
            kind apart: no less than the share of patients who will lack them in use.
        teacher: `trees` softens the train patients' labels by what trees grown on others say; empty does not.
        taught: codes whose first records trees teach, too; death among them, for it is the rival of all.
    """

    size: str = AUTO
    passes: int = 0
    context: int = 256
    min_patients: int = 50
    seed: int = 0
    threads: int = 2
    device: str = "cpu"
    precision: str = AUTO
    compiled: bool = False
    save_seconds: float = 30.0
    note_encoder: str = "note"
    image_encoder: str = "image"
    variants_encoder: str = "variants"
    modality_drop: float = 0.3
    teacher: str = ""
    taught: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size not in (AUTO, *SIZES):
            raise ValueError(f"size must be {AUTO} or one of {', '.join(SIZES)}")
        if self.device not in ("cpu", "cuda") or self.precision not in (AUTO, "float32", "bfloat16"):
            raise ValueError(f"device must be cpu or cuda; precision {AUTO}, float32 or bfloat16")
        if self.context < 2 or self.min_patients < 1 or self.threads < 1 or self.passes < 0:
            raise ValueError(
                "context must be 2 or more; min_patients and threads 1 or more; passes 0 or more"
            )

        if self.teacher not in ("", "trees"):
            raise ValueError("teacher must be trees, or empty")
        if self.taught and not self.teacher:
            raise ValueError('taught names codes for a teacher: set teacher = "trees"')
        if not 0.0 <= self.modality_drop < 1.0:
            raise ValueError("modality_drop must be 0 or more, and less than 1")

    @property
    def encoders(self) -> dict[str, str]:
        """The encoder of each kind of attachment that is not left out."""
        names = (self.note_encoder, self.image_encoder, self.variants_encoder)
        return {kind: name for kind, name in zip(ATTACHMENT_KINDS, names, strict=True) if name}

    def sized(self, n_events: int) -> "ModelSpec":
        """Give the same spec with a size, chosen by the number of train events."""
        if self.size != AUTO:
            return self
        fitting = [size for size, floor in _FLOOR_EVENTS.items() if n_events >= floor]
        return dataclasses.replace(self, size=fitting[-1] if fitting else "tiny")

    @property
    def in_bfloat16(self) -> bool:
        """Whether the trunk's matrix products are worked out in bfloat16."""
        return self.precision == "bfloat16" or (self.precision == AUTO and self.device == "cuda")

    @property
    def shape(self) -> Shape:
        """What the size means."""
        return SIZES[self.size]

    def passes_over(self, n_batches: int) -> int:
        """Give how often training sees each train patient, of whom a pass has so many batches."""
        return self.passes or max(self.shape.passes, -(-_LEAST_STEPS // max(n_batches, 1)))

    @property
    def n_attention(self) -> int:
        """Attention heads of a layer: half turn with time, half with order."""
        return 2 * max(1, self.shape.width // 64)
