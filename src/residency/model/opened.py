"""In: a folder that training made. Out: the frozen model: states, hazards and label probabilities."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from residency.contract import specs
from residency.contract.errors import LineageError
from residency.contract.lineage import open_made
from residency.contract.packed import DAY, Packed
from residency.model.attachments import Attaching, open_encoders
from residency.model.bounds import Bounds
from residency.model.calibration import Calibration
from residency.model.checkpoint import read_tensors
from residency.model.coming import valued_codes
from residency.model.encoders.encoding import Encoded
from residency.model.generative import VALUE_BINS, Results
from residency.model.heads import N_HEADS
from residency.model.inputs import Reader, Windows, whole
from residency.model.layout import layout
from residency.model.measuring import Measured, measured_of
from residency.model.network import Network, Sizes, build, no_routine
from residency.model.outcomes import ABSENT, links, never_had
from residency.model.own import Taught
from residency.model.settings import (
    CALIBRATION_FILE,
    SETTINGS_FILE,
    TARGETS_FILE,
    WEIGHTS_FILE,
    Settings,
    read_settings,
)
from residency.model.spec import ModelSpec
from residency.model.standing import Standing, gathered
from residency.model.states import States
from residency.timeline import Vocabulary, occurrences, take
from residency.timeline.segments import ranges

_MOST_CELLS: Final = 4_000_000  # numbers that the hazard head makes at a time
_MOST_INSTANTS: Final = 4096  # that it reads at a time
_MOST_ROWS: Final = 16_384  # rows, padding included, that the trunk reads at a time


@dataclass(frozen=True)
class Model:
    """A trained model, frozen.

    Attributes:
        spec: its settings, with the size that was used.
        vocabulary: the codes it knows.
        targets: codes with hazards, ancestors too; death first.
        edges_days: of the intervals over which hazards are constant; the first is 0.
        labels: tasks with heads of their own.
        calibration: from the tuning patients.
        digest: of the folder's manifest.
        attaching: encoders of the attachments that it reads.
        routine: codes that simulated futures take moment by moment, as indices, most frequent first.
        taught: targets that a teacher taught, and the codes of the panel that each reads.
        n_heads: bootstrapped heads.
    """

    spec: ModelSpec
    vocabulary: Vocabulary
    targets: tuple[str, ...]
    edges_days: Float64[np.ndarray, " edge"]
    labels: tuple[str, ...]
    calibration: Calibration
    digest: str
    network: Network
    reader: Reader
    attaching: Attaching
    routine: Int64[np.ndarray, " routine"]
    taught: Taught = ()
    n_heads: int = N_HEADS

    @classmethod
    def open(cls, folder: Path, *, base: Path | None = None) -> "Model":
        """Open a finished model and verify every file of it before any weight is used.

        Args:
            folder: what training made, or what `adapt` made.
            base: of an adapter, where it does not lie where it lay when the adapter was made.

        Raises:
            LineageError: the folder is not finished, was altered, or is of another format.
        """
        if open_made(folder).step == "adapt":
            from residency.model.adaptation.opening import open_adapted  # it needs what is defined here

            return open_adapted(folder, base)
        manifest = open_made(folder, "train", verify=True)
        settings = read_settings(folder)
        return cls.read(folder, settings, manifest.digest)

    @classmethod
    def read(cls, folder: Path, settings: Settings, digest: str) -> "Model":
        """Read a folder that was verified.

        Args:
            folder: weights, vocabulary, targets, calibration, encoders.
            settings: of the model.
            digest: that names it.
        """
        spec = specs.read(ModelSpec, settings.spec, where=SETTINGS_FILE)
        vocabulary = Vocabulary.open(folder)
        reader = Reader(vocabulary, layout(vocabulary, np.array(settings.panel, np.int64)))
        targets = pl.read_parquet(folder / TARGETS_FILE)
        network = _network(folder, settings, spec, reader, targets)
        return cls(
            spec=spec,
            vocabulary=vocabulary,
            targets=tuple(targets["code"]),
            edges_days=np.array(settings.edges_days),
            labels=settings.labels,
            calibration=Calibration.read(folder / CALIBRATION_FILE),
            digest=digest,
            network=network,
            reader=reader,
            attaching=open_encoders(folder, settings.encoders),
            routine=np.array(settings.routine, np.int64),
            taught=settings.taught,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of attachments that it reads."""
        return tuple(self.attaching.encoders)

    def encode(
        self,
        packed: Packed,
        patients: Int64[np.ndarray, " patient"] | None = None,
        *,
        encoded: Encoded | None = None,
    ) -> States:
        """Give the state of every moment of the patients, each in one causal pass.

        Args:
            packed: timelines, packed with this model's vocabulary.
            patients: rows; all where None.
            encoded: vectors of their attachments (`attaching.encoded`); without, none is looked at.

        Returns:
            States in the order of `patients`; a state depends on no later moment and on no other patient.
        """
        rows = np.arange(packed.n_patients) if patients is None else np.asarray(patients, np.int64)
        length = np.diff(packed.moment_offset)[rows]
        offset = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        z = torch.empty(int(offset[-1]), self.spec.shape.width)
        parts: list[tuple[Tensor, Standing]] = []
        for group in _groups(length):
            small = take(packed, rows[group])
            windows = whole(small, np.arange(len(group)))
            _, inputs = self.reader.read(small, windows, encoded=encoded)
            with torch.inference_mode():
                at = torch.from_numpy(ranges(offset[group], length[group]))
                z[at] = self.network(inputs)
                parts.append((at, self.network.record(inputs)))
        return States.of_all(z, gathered(parts, len(z)), offset)

    def encode_at(
        self,
        packed: Packed,
        patients: Int64[np.ndarray, " patient"],
        moments: Int64[np.ndarray, " patient"],
        *,
        encoded: Encoded | None = None,
    ) -> States:
        """Give the state of one moment of each patient: that of `encode`, several times as fast.

        Only what the state may know is read: `depth` times `context` moments before it, and what stands in
        the record.

        Args:
            packed: timelines, packed with this model's vocabulary.
            patients: rows.
            moments: of each, a row of `packed.moment_time`.
            encoded: as for `encode`.

        Returns:
            One state a patient, in their order.
        """
        begin, reach = packed.moment_offset[patients], self.network.trunk.reach(self.spec.context)
        low = np.maximum(begin + 1, moments - reach)
        n = len(patients)
        z = torch.empty(n, self.spec.shape.width)
        parts: list[tuple[Tensor, Standing]] = []
        for group in _groups(1 + np.maximum(moments + 1 - low, 0)):
            small = take(packed, patients[group])
            shift = small.moment_offset[:-1] - begin[group]
            windows = Windows(
                np.arange(len(group)), low[group] + shift, np.maximum(moments + 1, low)[group] + shift
            )
            _, inputs = self.reader.read(small, windows, encoded=encoded)
            with torch.inference_mode():
                at, last = torch.from_numpy(group), torch.from_numpy(np.cumsum(windows.length) - 1)
                z[at] = self.network.last(inputs)
                parts.append((at, self.network.record(inputs).take(last)))
        return States(z, gathered(parts, n), np.arange(n + 1), moments == begin)

    def hazards(
        self,
        states: States,
        moment: Int64[np.ndarray, " index"],
        elapsed_days: Float32[np.ndarray, " index"],
        targets: Int64[np.ndarray, " target"],
        never: Bool[np.ndarray, "index target"],
    ) -> Float32[np.ndarray, "index head target interval"]:
        """Give calibrated hazards per day of each target's next occurrence, counted from the instant.

        A code below a taught one is never likelier than that: where both are among `targets`, its hazard is
        at most the other's (`bounds.with_above`).

        Args:
            states: from `encode`.
            moment: rows of `states.z`: the last moment known.
            elapsed_days: from that moment to the instant; 0 or more.
            targets: indices in `targets`.
            never: whether the patient had not had the target by the instant, see `never`.
        """
        n_intervals = len(self.edges_days) - 1
        chosen = torch.from_numpy(np.asarray(targets, np.int64))
        first, again = torch.from_numpy(self.calibration.factors[:, np.asarray(targets)])
        hours = states.hours_since(moment, elapsed_days)
        most = _MOST_CELLS // (N_HEADS * max(len(targets), 1) * n_intervals)
        most = min(max(most, 1), _MOST_INSTANTS)
        result = np.empty((len(moment), N_HEADS, len(targets), n_intervals), np.float32)
        for start in range(0, len(moment), most):
            part = slice(start, start + most)
            with torch.inference_mode():
                at = torch.from_numpy(moment[part])
                z = self.network.waiting(states.z[at], hours[part])
                head, none = self.network.hazard, torch.from_numpy(never[part])
                features = states.record.numbers(at, hours[part])
                rate = head.columns(head.read(z, features), chosen, none, self.calibration.slopes).exp()
                factor = torch.where(none, first, again)
            result[part] = (rate * factor[:, None, :, None]).numpy()
        self.bounds.hold(result, np.asarray(targets))
        return result

    @cached_property
    def bounds(self) -> Bounds:
        """What taught codes hold of the codes below them."""
        return Bounds.of(self.vocabulary, self.targets, tuple(target for target, _ in self.taught))

    def never(
        self,
        packed: Packed,
        patient: Int64[np.ndarray, " index"],
        as_of: Int64[np.ndarray, " index"],
        targets: Int64[np.ndarray, " target"],
    ) -> Bool[np.ndarray, "index target"]:
        """Say which patients had not had which targets, or what counts for them, by an instant.

        Args:
            packed: timelines.
            patient: rows of `packed`.
            as_of: µs.
            targets: indices in `targets`.
        """
        codes = np.array([self.vocabulary.index_of(self.targets[one]) or ABSENT for one in targets], np.int64)
        offset, link = links(self.vocabulary, codes)
        rows, local = np.unique(patient, return_inverse=True)
        found = occurrences(take(packed, rows), offset, link, len(targets))
        return never_had(found, local, as_of, np.arange(len(targets)))

    def label_probability(
        self,
        states: States,
        moment: Int64[np.ndarray, " index"],
        elapsed_days: Float32[np.ndarray, " index"],
        label: int,
    ) -> Float32[np.ndarray, "index head"]:
        """Give each head's calibrated probability of one of the data set's own labels.

        Args:
            states: from `encode`.
            moment: rows of `states.z`: the last moment known.
            elapsed_days: from that moment to the instant; 0 or more.
            label: index in `labels`.
        """
        hours = states.hours_since(moment, elapsed_days)
        slope, intercept = self.calibration.labels[label]
        with torch.inference_mode():
            at = torch.from_numpy(np.asarray(moment, np.int64))
            logits = self.network.labelled(states.z, states.record, at, hours)[:, :, label]
        result: np.ndarray = torch.sigmoid(slope * logits + intercept).numpy()
        return result

    def measured(
        self,
        states: States,
        moment: Int64[np.ndarray, " index"],
        elapsed_days: Float32[np.ndarray, " index"],
        code: str,
    ) -> Measured | None:
        """Give the distribution of a test's result if it is done at the instant and gives a value.

        Args:
            states: from `encode`.
            moment: rows of `states.z`: the last moment known.
            elapsed_days: from that moment to the instant; 0 or more.
            code: of the test.

        Returns:
            None where no values of the code are known.
        """
        index, at = self.vocabulary.index_of(code), torch.from_numpy(np.asarray(moment, np.int64))
        if index not in self.valued:
            return None
        with torch.inference_mode():
            z = self.network.waiting(states.z[at], states.hours_since(moment, elapsed_days))
            asked = self.result_of(index, len(moment), 0.0)
            logits = self.network.future.values(z, states.record.panel[at], asked)[:, :VALUE_BINS]
        return measured_of(self.vocabulary, index, torch.softmax(logits, dim=1).numpy())

    @cached_property
    def moments_shared(self) -> Float32[np.ndarray, "target kind"]:
        """The shares of each target's moments: its own, then those of each kind that codes share."""
        return self.network.query.kinds(torch.arange(len(self.targets))).numpy()

    def result_of(self, index: int, n: int, hours: float) -> Results:
        """Ask for one code's result, after so many hours, at each of some instants."""
        return Results(
            row=torch.arange(n),
            hours=torch.full((n,), hours),
            code=torch.full((n,), int(np.searchsorted(self.valued, index))),
            slot=torch.full((n,), int(self.reader.layout.slot[index])),
            what=torch.zeros(n, dtype=torch.int64),
        )

    @cached_property
    def valued(self) -> Int64[np.ndarray, " valued"]:
        """Codes whose values are known, as indices."""
        return valued_codes(self.vocabulary)

    @property
    def horizon_us(self) -> int:
        """How far ahead hazards reach, in µs."""
        return round(float(self.edges_days[-1]) * DAY)


def _network(
    folder: Path, settings: Settings, spec: ModelSpec, reader: Reader, targets: pl.DataFrame
) -> Network:
    n_intervals = len(settings.edges_days) - 1
    sizes = Sizes(
        reader.layout.n_rows,
        reader.layout.size,
        torch.zeros(2, len(targets), n_intervals),
        torch.zeros(len(settings.labels)),
        settings.modalities,
        torch.zeros(len(valued_codes(reader.vocabulary)), n_intervals),
        no_routine(len(settings.routine), n_intervals),
        settings.taught,
    )
    network = build(spec, sizes)
    tensors, _ = read_tensors(folder / WEIGHTS_FILE)
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise LineageError("the weights do not fit the model's settings", where=WEIGHTS_FILE) from None
    return network.eval().requires_grad_(False)


def _groups(length: Int64[np.ndarray, " patient"]) -> list[Int64[np.ndarray, " group"]]:
    """Put patients of like length together, as many as the trunk may read at a time."""
    order = np.argsort(length, kind="stable")
    groups, begin = [], 0
    while begin < len(order):
        fits = length[order[begin:]] * np.arange(1, len(order) - begin + 1) <= _MOST_ROWS
        n_taken = max(1, int(np.count_nonzero(np.logical_and.accumulate(fits))))
        groups.append(np.sort(order[begin : begin + n_taken]))
        begin += n_taken
    return groups
