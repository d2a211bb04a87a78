"""In: timelines, a model's settings, who is a member. Out: a model taught by these, and what it gives away.

What a model says of one patient is measured four ways: how well its answers fit the record, how well a head
of the attacker's own on its embeddings does, which of some codes it ranks first at the last moment (the
truth, or a secret that was planted there), and whether it fits better with the patient's own sex.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from residency.contract.codes import DEATH
from residency.contract.packed import DAY, Packed
from residency.contract.progress import silent
from residency.contract.questions import Forecast, Outcome
from residency.model import Model, ModelSpec
from residency.model.adaptation import AdaptSpec
from residency.model.adaptation.adapting import _learned
from residency.model.adaptation.lowrank import adapter_of, merged
from residency.model.attachments import Attaching, reading
from residency.model.batches import Collator
from residency.model.calibration import Calibration
from residency.model.fitting import Setup, fit, network_with, setup
from residency.model.instants import Density
from residency.model.marginals import marginals, marginals_of
from residency.model.network import Network
from residency.model.training import steady
from residency.reasoning import Index, Limits, ask
from residency.timeline import Timelines, concatenate, moment_of_event, take, until

UNUSED: Final = "unused"
MOST_DAYS: Final = 180.0
LEAST_MOMENTS: Final = 4
ASKED_AT: Final = (0.3, 0.5, 0.7)  # shares of a patient's moments that lie behind
_RIDGE: Final = 1.0


@dataclass(frozen=True)
class Room:
    """Patients of one shard, what they are asked about, and how a model is made.

    Attributes:
        data: timelines with a single shard, of coded records alone.
        spec: of the model, with its size.
        last: keep the last weights, not those that tuning patients liked best.
        horizon_days: of what is asked.
        codes: asked about, by index in the vocabulary.
        sexes: codes that are each other's opposite, by index; (0, 0) where they are not recorded.
    """

    data: Timelines
    spec: ModelSpec
    last: bool
    horizon_days: float
    codes: tuple[int, ...]
    sexes: tuple[int, int]

    @property
    def packed(self) -> Packed:
        """The patients."""
        return self.data.shards[0]

    def setup(self, member: Bool[np.ndarray, " patient"], judges: Bool[np.ndarray, " patient"]) -> Setup:
        """Let members teach, and judges (of none of whom anything is measured) stop the training."""
        split = np.full(len(member), UNUSED, dtype="<U8")
        split[member], split[judges] = "train", "tuning"
        data = dataclasses.replace(self.data, _splits=(split,))
        return setup(data, self.spec, marginals(data, self.spec), ())

    def upon(self, base: Setup, member: Bool[np.ndarray, " patient"]) -> Setup:
        """Let members teach an adapter: in the base's own targets."""
        split = np.where(member, "train", UNUSED)
        data = dataclasses.replace(self.data, _splits=(split,))
        found = marginals_of(data, self.spec, base.marginals.targets)
        reader, drop = base.collator.reader, self.spec.modality_drop
        collator = Collator(reader, found.targets, found.rate, self.spec.seed, Density.of(data), (), drop)
        return Setup(data, self.spec, found, collator)

    def taught(self, given: Setup) -> Network:
        """Train."""
        with TemporaryDirectory() as folder, steady(self.spec.threads):
            training = fit(given, Path(folder), silent)
        weights = dict(training.network.named_parameters()) if self.last else training.best
        return network_with(given, {name: one.detach().clone() for name, one in weights.items()})

    def model(self, given: Setup, network: Network) -> Model:
        """Make a network ready to be asked."""
        targets = given.marginals.targets
        names = tuple(self.data.vocabulary.codes[code] if code >= 0 else DEATH for code in targets.code)
        return Model(
            spec=self.spec,
            vocabulary=self.data.vocabulary,
            targets=names,
            edges_days=np.asarray(targets.edges_days, np.float64),
            labels=(),
            routine=np.asarray(given.marginals.routine.code, np.int64),
            calibration=Calibration.none(0, len(names)),
            digest="",
            network=network.eval().requires_grad_(False),
            reader=given.collator.reader,
            attaching=Attaching({}, {}),
        )

    def adapted(self, given: Setup, base: Network, settings: AdaptSpec) -> Network:
        """Learn an adapter on members, upon a base that others taught."""
        with steady(self.spec.threads):
            learned = _learned(base, given, settings, max(settings.passes), lambda *_: None)
        return merged(base, adapter_of(learned, base))

    @cached_property
    def asked(self) -> Index:
        """When each patient is asked about: a few times each."""
        first, n = np.asarray(self.packed.moment_offset[:-1]), np.diff(self.packed.moment_offset)
        at = np.stack([first + np.maximum((n * share).astype(np.int64), 1) for share in ASKED_AT], axis=1)
        at = np.minimum(at, (first + n - 1)[:, None])
        patient = np.repeat(np.arange(len(n)), len(ASKED_AT))
        return Index(patient, np.asarray(self.packed.moment_time)[at.reshape(-1)])

    @cached_property
    def before_last(self) -> Index:
        """The moment before each patient's last."""
        last = np.asarray(self.packed.moment_offset[1:]) - 1
        return Index(np.arange(len(last)), np.asarray(self.packed.moment_time)[last - 1])

    @cached_property
    def came(self) -> Bool[np.ndarray, "index code"]:
        """Whether each code was recorded within the horizon after each index time."""
        return recorded(self.packed, self.codes, self.asked, self.horizon_days)

    def risks(self, model: Model, packed: Packed, index: Index) -> Float[np.ndarray, "index code"]:
        """Give the risk of each code within the horizon."""
        names = [self.data.vocabulary.codes[code] for code in self.codes]
        question = Forecast(
            outcomes=tuple(Outcome(name=f"c{n}", codes=(name,)) for n, name in enumerate(names)),
            horizons_days=(min(self.horizon_days, float(model.edges_days[-1])),),
            interval=False,
        )
        answers = ask(model, packed, [question], index, limits=Limits(min_moments=0))
        return np.clip(np.nan_to_num(answers.risk.astype(np.float64), nan=1e-4), 1e-4, 1 - 1e-4)


def recorded(
    packed: Packed, codes: tuple[int, ...], index: Index, days: float
) -> Bool[np.ndarray, "index code"]:
    """Say whether codes were recorded within some days after each index time."""
    moment, end = moment_of_event(packed), packed.moment_offset[index.patient + 1]
    found = np.zeros((len(index), len(codes)), dtype=bool)
    now = _upto(packed, index, index.as_of)
    then = np.minimum(_upto(packed, index, index.as_of + round(days * DAY)), end)
    for column, code in enumerate(codes):
        mine = moment[np.asarray(packed.event_code) == code]
        found[:, column] = np.searchsorted(mine, then) > np.searchsorted(mine, now)
    return found


def _upto(packed: Packed, index: Index, time: Int64[np.ndarray, " index"]) -> Int64[np.ndarray, " index"]:
    """Give the first moment after a time, of each index time's patient."""
    ends = [
        int(start) + int(np.searchsorted(packed.moment_time[start:stop], at, "right"))
        for start, stop, at in zip(
            packed.moment_offset[index.patient].tolist(),
            packed.moment_offset[index.patient + 1].tolist(),
            time.tolist(),
            strict=True,
        )
    ]
    return np.array(ends, np.int64)


@dataclass(frozen=True)
class Said:
    """What one model gives away of each patient.

    Attributes:
        outputs: mean log-likelihood of the record by its answers.
        embeddings: of the record by a head of the attacker's own, taught on the judges' embeddings.
        last: risk of each code at the moment before the last.
        own_sex: the record is likelier with the patient's own sex.
    """

    outputs: Float[np.ndarray, " patient"]
    embeddings: Float[np.ndarray, " patient"]
    last: Float[np.ndarray, "patient code"]
    own_sex: Bool[np.ndarray, " patient"]


def listen(room: Room, model: Model, judges: Bool[np.ndarray, " patient"]) -> Said:
    """Measure what a model gives away."""
    n = room.packed.n_patients

    def fits(packed: Packed) -> Float[np.ndarray, " patient"]:
        risk = room.risks(model, packed, room.asked)
        each = np.log(np.where(room.came, risk, 1 - risk)).mean(axis=1)
        return np.bincount(room.asked.patient, each, n) / len(ASKED_AT)

    outputs = fits(room.packed)
    other = outputs if not any(room.sexes) else fits(turned(room.packed, room.sexes))
    return Said(
        outputs=outputs,
        embeddings=_by_embedding(room, model, judges),
        last=room.risks(model, room.packed, room.before_last),
        own_sex=outputs > other,
    )


def turned(packed: Packed, sexes: tuple[int, int]) -> Packed:
    """Give everybody the other sex."""
    code = np.asarray(packed.event_code)
    one, other = (code == sex for sex in sexes)
    return packed.with_arrays(
        event_code=np.where(one, sexes[1], np.where(other, sexes[0], code)).astype(np.int32)
    )


def _by_embedding(
    room: Room, model: Model, judges: Bool[np.ndarray, " patient"]
) -> Float[np.ndarray, " patient"]:
    states = model.encode(room.packed)
    row = _upto(room.packed, room.asked, room.asked.as_of) - 1
    with torch.inference_mode():
        z = states.z[torch.from_numpy(row)].numpy().astype(np.float64)
    design = np.concatenate([z, np.ones((len(z), 1))], axis=1)
    theirs = judges[room.asked.patient]
    square = design[theirs].T @ design[theirs] + _RIDGE * np.eye(design.shape[1])
    head = np.linalg.solve(square, design[theirs].T @ room.came[theirs])
    away = ((room.came - design @ head) ** 2).mean(axis=1)
    return -np.bincount(room.asked.patient, away, room.packed.n_patients) / len(ASKED_AT)


def room_of(
    data: Timelines, spec: ModelSpec, *, patients: int, days: float, last: bool, codes: int = 16
) -> Room:
    """Take patients of every split, and the first days of each: what is trained here is thrown away.

    Args:
        data: all timelines.
        spec: of the model.
        patients: at most so many; 0 for all.
        days: the first so many of each, from the first dated moment; 0 for all.
        last: see `Room`.
        codes: so many are asked about.
    """
    packed = concatenate(data.shards)
    packed = take(packed, np.flatnonzero(np.diff(packed.moment_offset) >= LEAST_MOMENTS))
    begin = packed.moment_time[packed.moment_offset[:-1] + 1]
    packed = until(packed, begin + round(days * DAY) if days else np.iinfo(np.int64).max)  # labels go too
    packed = take(packed, np.flatnonzero(np.diff(packed.moment_offset) >= LEAST_MOMENTS)[: patients or None])
    plain = dataclasses.replace(spec, note_encoder="", image_encoder="", variants_encoder="")
    here = np.full(packed.n_patients, "here")
    one = dataclasses.replace(
        data, shards=(packed,), paths=data.paths[:1], labels=(), _sites=(here,), _splits=(here,)
    )
    one = reading(one, ())
    sized = plain.sized(packed.n_events)
    horizon = min(MOST_DAYS, 0.3 * days) if days else MOST_DAYS
    return Room(one, sized, last, horizon, _common(one, sized, codes), _sexes(one))


def _common(data: Timelines, spec: ModelSpec, most: int) -> tuple[int, ...]:
    """Take codes with a hazard that many have and not everybody: neither never nor always recorded."""
    packed = data.shards[0]
    n = packed.n_patients
    owner = np.searchsorted(packed.moment_offset, moment_of_event(packed), "right") - 1
    first = np.isin(moment_of_event(packed), packed.moment_offset[:-1])
    pairs = np.unique(np.stack([owner[~first], packed.event_code[~first]]), axis=1)
    having = np.bincount(pairs[1], minlength=len(data.vocabulary))
    fit_for = (having >= spec.min_patients) & (having >= 0.05 * n) & (having <= 0.8 * n)
    fit_for[0] = False
    order = np.argsort(-having, kind="stable")
    return tuple(int(code) for code in order if fit_for[code])[:most]


def _sexes(data: Timelines) -> tuple[int, int]:
    one, other = (data.vocabulary.index_of(f"DEMOGRAPHIC/SEX={sex}") for sex in ("female", "male"))
    return (one, other) if one and other else (0, 0)
