"""In: timelines, a model's settings. Out: a folder that says what such a model would give away of a patient.

The recipe is attacked, not a folder: the model is trained again on members drawn at random, so that members
and others differ in nothing but that, and so are its shadows. OUT holds `attacks.json` and `attacks.md`.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Bool, Float, Int64

from residency.contract import specs
from residency.contract.errors import InputError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.packed import Packed
from residency.contract.progress import Progress, silent
from residency.contract.report import read_report
from residency.contract.specs import spec
from residency.model import ModelSpec
from residency.model.adaptation import AdaptSpec
from residency.model.fitting import Setup
from residency.model.network import Network
from residency.timeline import Timelines
from residency.validation.cells import Cells, cells_of, unique_in
from residency.validation.membership import LIMIT, Attacked, halves, judge, judge_gain, ratio
from residency.validation.shadows import Room, Said, listen, room_of

LIMIT_OF_SECRETS = 0.60  # of the rank of a planted secret among others; .5 is nothing
LIMIT_OF_GAIN = 0.10  # of a guess, members less others


@spec
class AttackSpec:
    """How a model's recipe is attacked.

    Attributes:
        model: settings of the model, as for training.
        shadows: models trained besides the one in question; two or more, even.
        patients: of every split, at most so many; 0 for all. What is trained here is thrown away.
        days: the first so many of each patient's; 0 for all.
        last: keep the last weights, not those that tuning patients liked best.
        secrets: share of the patients in whose last moment a code is swapped for one drawn at random.
        adapter_passes: of an adapter upon a base that others taught; 0 leaves adapters out.
        seed: of members, shadows and secrets.
    """

    model: dict[str, Any] = field(default_factory=dict)
    shadows: int = 8
    patients: int = 0
    days: float = 0.0
    last: bool = False
    secrets: float = 0.25
    adapter_passes: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shadows < 2 or self.shadows % 2 or not 0 <= self.secrets <= 1:
            raise ValueError("shadows must be even, 2 or more; secrets between 0 and 1")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One attack: what it aims at, on what, and what came out."""

    attack: str
    on: str
    limit: float
    found: Attacked


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All attacks on one recipe, and small cells in what leaves with it."""

    findings: list[Finding]
    patients: int
    unique: dict[str, int]
    cells: Cells | None = None
    version: int = 1


def attack_model(
    out: Path,
    timelines: Path,
    settings: AttackSpec,
    report: Path | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Attack a model's recipe on one's own patients.

    Args:
        out: the folder to write.
        timelines: folder that building made.
        settings: see `AttackSpec`.
        report: folder of an examination; its counts are attacked by differencing.
        now: the run's start, aware.
        progress: is told of each training.

    Raises:
        InputError: there are too few patients to attack anything.
    """
    inputs = [timelines, *([] if report is None else [report])]
    with Step(out, name="attack", inputs=inputs, spec=specs.plain(settings), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        data = Timelines.open(timelines)
        found = Findings(
            findings=attacks(data, settings, progress),
            patients=data.n_patients,
            unique=unique_in(data),
            cells=None if report is None else cells_of(read_report(report / "report.json")),
        )
        body = msgspec.json.format(msgspec.json.encode(found), indent=1)
        step.put("attacks.json", body)
        step.put("attacks.md", table(found))
        result = {f"{one.attack}, {one.on}": one.found.outcome for one in found.findings}
        return step.finish(rows=Rows(), result=result)


@dataclass(frozen=True)
class Cast:
    """Who is who among the patients.

    Attributes:
        member: who teach the model in question.
        free: members, and those who could have been.
        judges: stop the training, and teach the attacker's own head.
        base: teach the base of an adapter.
        secret: column of the code that was planted in each; −1 where none.
    """

    member: Bool[np.ndarray, " patient"]
    free: Bool[np.ndarray, " patient"]
    judges: Bool[np.ndarray, " patient"]
    base: Bool[np.ndarray, " patient"]
    secret: Int64[np.ndarray, " patient"]

    @property
    def others(self) -> Bool[np.ndarray, " patient"]:
        """Who could have been members, and are not."""
        others: np.ndarray = self.free & ~self.member
        return others


def attacks(data: Timelines, settings: AttackSpec, progress: Progress) -> list[Finding]:
    """Train the model and its shadows, and attack in every way."""
    spec_of = specs.read(ModelSpec, settings.model, where="model")
    room = room_of(data, spec_of, patients=settings.patients, days=settings.days, last=settings.last)
    if room.packed.n_patients < 20 or not room.codes:
        raise InputError("too few patients to attack a model", mend="give timelines of more patients")
    cast = _cast(room, settings)
    room = _planted(room, cast)
    masks = [cast.member, *_shadows(cast, settings)]
    said, heard = [], []
    base = _base(room, cast) if settings.adapter_passes else None
    for number, mask in enumerate(masks):
        progress("training", number, len(masks))
        said.append(_said(room, cast, mask))
        if base is not None:
            heard.append(_adapted(room, cast, mask, base, settings))
    progress("training", len(masks), len(masks))
    inside = np.stack(masks[1:])
    found = [
        _membership("outputs", [one.outputs for one in said], inside, cast),
        _membership("embeddings", [one.embeddings for one in said], inside, cast),
    ]
    if heard:
        found.append(_membership("adapter", heard, inside, cast))
    return [*found, *_secrets(said, inside, cast), *_guesses(room, said[0], cast)]


def _cast(room: Room, settings: AttackSpec) -> Cast:
    rng, n = np.random.default_rng(settings.seed), room.packed.n_patients
    order = rng.permutation(n)
    n_judges = max(n // 8, 8)
    judges = order < n_judges
    base = (order >= n_judges) & (order < n_judges + (n // 6 if settings.adapter_passes else 0))
    free = ~judges & ~base
    member = np.zeros(n, dtype=bool)
    some = np.flatnonzero(free)
    member[rng.permutation(some)[: len(some) // 2]] = True
    secret = np.where(rng.random(n) < settings.secrets, rng.integers(0, len(room.codes), n), -1)
    return Cast(member, free, judges, base, np.where(free, secret, -1))


def _shadows(cast: Cast, settings: AttackSpec) -> list[Bool[np.ndarray, " patient"]]:
    free = np.flatnonzero(cast.free)
    masks = []
    for half in halves(len(free), settings.shadows, settings.seed + 1):
        mask = np.zeros(len(cast.member), dtype=bool)
        mask[free[half]] = True
        masks.append(mask)
    return masks


def _planted(room: Room, cast: Cast) -> Room:
    """Swap the first code of the last moment for the secret."""
    packed: Packed = room.packed
    codes, who = np.array(packed.event_code), np.flatnonzero(cast.secret >= 0)
    at = packed.event_offset[packed.moment_offset[who + 1] - 1]
    codes[at] = np.array(room.codes)[cast.secret[who]]
    planted = packed.with_arrays(event_code=codes.astype(np.int32))
    return replace(room, data=replace(room.data, shards=(planted,)))


def _said(room: Room, cast: Cast, mask: Bool[np.ndarray, " patient"]) -> Said:
    given = room.setup(mask, cast.judges)
    return listen(room, room.model(given, room.taught(given)), cast.judges)


@dataclass(frozen=True)
class Base:
    """What an adapter is learned upon."""

    given: Setup
    network: Network


def _base(room: Room, cast: Cast) -> Base:
    given = room.setup(cast.base, cast.judges)
    return Base(given, room.taught(given))


def _adapted(
    room: Room, cast: Cast, mask: Bool[np.ndarray, " patient"], base: Base, settings: AttackSpec
) -> Float[np.ndarray, " patient"]:
    """Give how well the answers of a base with an adapter fit each patient."""
    given = room.upon(base.given, mask)
    adapt = AdaptSpec(passes=(settings.adapter_passes,), threads=room.spec.threads, learning_rate=4e-3)
    network = room.adapted(given, base.network, adapt)
    return listen(room, room.model(given, network), cast.judges).outputs


def _membership(
    on: str,
    likelihood: list[Float[np.ndarray, " patient"]],
    inside: Bool[np.ndarray, "shadow patient"],
    cast: Cast,
) -> Finding:
    score = ratio(np.stack(likelihood[1:])[:, cast.free], inside[:, cast.free], likelihood[0][cast.free])
    return Finding(
        attack="membership", on=on, limit=LIMIT, found=judge(score, cast.member[cast.free], limit=LIMIT)
    )


def _secrets(said: list[Said], inside: Bool[np.ndarray, "shadow patient"], cast: Cast) -> list[Finding]:
    """Rank each planted secret among the codes, by how much likelier the model finds it than those without.

    Members against others, whose secrets the model cannot know: chance is .5.
    """
    who = np.flatnonzero(cast.secret >= 0)
    if not len(who):
        return []
    logit = np.stack([np.log(one.last[who] / (1 - one.last[who])) for one in said])
    out = ~inside[:, who]
    without = (logit[1:] * out[:, :, None]).sum(axis=0) / np.maximum(out.sum(axis=0), 1)[:, None]
    more = logit[0] - without
    mine = np.take_along_axis(more, cast.secret[who][:, None], axis=1)
    n = more.shape[1]
    rank = ((more < mine).sum(axis=1) + ((more == mine).sum(axis=1) - 1) / 2) / (n - 1)
    found = judge(rank, cast.member[who], limit=LIMIT_OF_SECRETS)
    return [Finding(attack="planted secrets", on="outputs", limit=LIMIT_OF_SECRETS, found=found)]


def _guesses(room: Room, said: Said, cast: Cast) -> list[Finding]:
    """Guess the last moment's code, and the sex, of members and of others."""
    at = np.asarray(room.packed.moment_offset[1:]) - 1
    first, end = room.packed.event_offset[at], room.packed.event_offset[at + 1]
    code = np.asarray(room.packed.event_code)
    best = np.array(room.codes)[said.last.argmax(axis=1)]
    right = np.array(
        [one in code[low:high] for one, low, high in zip(best, first.tolist(), end.tolist(), strict=True)]
    )
    hits = {"reconstruction of the last moment": right}
    if any(room.sexes):
        hits["attribute: sex"] = said.own_sex
    return [
        Finding(
            attack=name,
            on="outputs",
            limit=LIMIT_OF_GAIN,
            found=judge_gain(hit[cast.member], hit[cast.others], limit=LIMIT_OF_GAIN),
        )
        for name, hit in hits.items()
    ]


def table(found: Findings) -> str:
    """Give everything in Markdown."""
    lines = [
        "| attack | on | members / others | value (95%) | limit | power | outcome |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found.findings:
        told = one.found
        value = f"{told.auroc:.3f} ({told.low:.3f} to {told.high:.3f})"
        lines.append(
            f"| {one.attack} | {one.on} | {told.members:,} / {told.others:,} | {value} | {one.limit:g}"
            f" | {told.power:.2f} | {told.outcome} |"
        )
    lines += ["", "What leaves with a model and only few patients have: "]
    lines += [f"- {name}: {n:,}" for name, n in found.unique.items()]
    if found.cells is not None:
        lines += [
            f"- counts of 1 to 10 patients that the report states: {found.cells.stated:,}",
            f"- such counts that follow by differencing: {found.cells.by_differencing:,}",
        ]
    return "\n".join(lines) + "\n"
