"""Is the evidence faithful? `bench/evidence.py FOLDER [PATIENTS] [SEED]`. Simulated, held-out patients.

Comprehensiveness: how far the risk moves without the first evidence; the control is the other code that was
last seen nearest to it in time and as often. Sufficiency: how far the risk lies from the whole with that code
alone. Randomised weights: what a model of random weights calls evidence, taken from the true one. Planted: of
patients in whom a disease has begun unseen, whether one of its own signs is among the five, beside five codes
drawn at random. Where the timelines have notes and images: how often these are among the evidence, and the
cost; and of the newest note and image, as of codes: without the part that moves most and without another,
with that part alone and with another alone, and without what random weights take for it. Alone is a part of
an image amid its median brightness, and a part of a note amid the other parts of another patient's note of
its type: cut short, a note would be one that nobody writes, and what is left in it would count for more.
"""

import copy
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from invented import CODES, Invented, hospital, made

from residency import Index, Model, ask
from residency.contract.codes import BIRTH
from residency.contract.packed import ATTACHMENT_KINDS, Packed
from residency.contract.questions import Answer, Forecast, Outcome
from residency.model.encoders.note import NoteEncoder
from residency.reasoning import Limits
from residency.reasoning.evidence import without_codes
from residency.reasoning.parts import PARTS, Part, parts_of, spans_of
from residency.simulation.medicine import hospital as tables
from residency.timeline import Attachments, Image, Note, concatenate, take, until
from residency.timeline.attachments import IMAGE, NOTE

EVERYTHING = Limits(min_moments=0, stale_days=1e9, max_unknown_share=1.0)
DISEASES = ("type_2_diabetes", "chronic_kidney_disease", "heart_failure", "lung_cancer")
N_EACH = 12
N_DOCUMENTS = 40  # patients of a shard


def question(disease: str, *, evidence: bool) -> Forecast:
    """Ask for the first record within a year."""
    outcome = Outcome(name=disease, codes=CODES[disease])
    return Forecast(outcomes=(outcome,), horizons_days=(365.25,), interval=False, evidence=evidence)


def risk(model: Model, packed: Packed, as_of: int, disease: str) -> float:
    """Give the risk of the one patient."""
    index = Index(np.zeros(1, np.int64), np.array([as_of]))
    return float(ask(model, packed, [question(disease, evidence=False)], index, limits=EVERYTHING).risk[0, 0])


def signs(disease: str) -> set[str]:
    """Give the codes that the simulation lets a hidden disease show itself by."""
    of = next(one for one in tables().disease if one.name == disease)
    found = {f"LOINC/{one.lab}" for one in of.marker} | {f"ICD10CM/{one.code}" for one in of.sign}
    icd = {one.icd: one.snomed for one in tables().condition}
    found |= {f"SNOMED/{icd[one.code]}" for one in of.sign if one.code in icd}
    return found | {f"SNOMED/{one.code}" for one in of.procedure} | {f"RXNORM/{one.code}" for one in of.drug}


def moments(of: Invented, disease: str, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Give moments at which the disease has begun and nobody knows."""
    found = []
    for shard, packed in enumerate(of.timelines.shards):
        for row in of.judges(shard).tolist():
            begun, known = of.spans()[disease].get(int(packed.subject[row]), (2**62, 2**62))
            when = packed.moment_time[packed.moments_of(row)][1:]
            mine = when[(when >= begun) & (when < known - 86_400_000_000)]
            if len(mine):
                found.append((shard, row, int(mine[-1])))
    return [found[n] for n in rng.permutation(len(found))[:N_EACH]]


def control(cut: Packed, first: int, codes: list[int]) -> int:
    """Give the other code that was last seen nearest in time, and as often."""
    last = {code: int(np.flatnonzero(cut.event_code == code)[-1]) for code in codes}
    times = {code: int(cut.event_time[at]) for code, at in last.items()}
    often = {code: int((cut.event_code == code).sum()) for code in codes}
    others = [code for code in codes if code != first]
    return min(others, key=lambda code: (abs(times[code] - times[first]), abs(often[code] - often[first])))


def main(folder: Path, n_patients: int = 4000, seed: int = 11) -> None:
    """Print the table."""
    of, rng = made(folder, hospital(n_patients, seed)), np.random.default_rng(0)
    senseless = replace(of.model, network=copy.deepcopy(of.model.network))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in senseless.network.parameters():
            weight.copy_(torch.randn_like(weight) * 0.1)
    rows, planted = [], []
    for disease in DISEASES:
        for shard, row, at in moments(of, disease, rng):
            cut = until(take(of.timelines.shards[shard], np.array([row])), at)
            one = judged(of, senseless, cut, at, disease, rng)
            if one is not None:
                rows.append(one[0])
                planted.append(one[1])
    found, hits = np.array(rows), np.array(planted)
    print(f"| {len(found)} patients | evidence (90% interval) | control | difference |")
    print("|---|---|---|---|")
    for name, a, b in (
        ("comprehensiveness: change without it", 0, 1),
        ("sufficiency: distance with it alone", 2, 3),
        ("randomised weights: change without theirs", 4, 1),
    ):
        cells = [mean(found[:, a], rng), mean(found[:, b], rng), mean(found[:, a] - found[:, b], rng)]
        print(f"| {name} | {' | '.join(cells)} |")
    print(
        f"| planted: a sign of the disease among the five | {mean(hits[:, 0], rng)} |"
        f" {mean(hits[:, 1], rng)} | {mean(hits[:, 0] - hits[:, 1], rng)} |"
    )
    if of.model.kinds:
        documents(of)
        for kind in (NOTE, IMAGE):
            parts(of, senseless, kind)


def held_out(of: Invented) -> Iterator[tuple[Packed, Attachments]]:
    """Give some held-out patients, each with what their shard's timelines point at."""
    rng = np.random.default_rng(0)
    for shard, packed in enumerate(of.timelines.shards):
        held = of.timelines.attachments(shard)
        for row in rng.permutation(of.judges(shard))[:N_DOCUMENTS].tolist():
            yield take(packed, np.array([row])), held


def documents(of: Invented) -> None:
    """Say what evidence there is in notes and images, of the last moments of held-out patients."""
    kinds, known, new = Counter[str](), list[float](), list[float]()
    for cut, held in held_out(of):
        forget(of.model)
        fresh, _ = timed(of.model, cut, replace(held, home=None), DISEASES[0], evidence=False)
        forget(of.model)
        whole, _ = timed(of.model, cut, replace(held, home=None), DISEASES[0], evidence=True)
        new.append(whole / fresh)
        forget(of.model)
        for disease in DISEASES:
            for _ in range(2):  # the first time, vectors are put on disk
                usual, _ = timed(of.model, cut, held, disease, evidence=False)
            whole, answer = timed(of.model, cut, held, disease, evidence=True)
            known.append(whole / usual)
            named = [one.citation for one in answer.moved if one.citation.source != "x/1"]
            kinds["answers"] += 1
            kinds["a document among the five"] += bool(named)
            kinds["a part of a note"] += any(one.start is not None for one in named)
            kinds["a region of an image"] += any(one.region is not None for one in named)
    print(f"\n{dict(kinds)}")
    for of_what, ratios in (("vectors of documents known", known), ("documents new", new)):
        low, high = np.quantile(ratios, [0.5, 0.95])
        print(f"cost beside the forecast, seconds, {of_what}: median {low:.1f} times, 95% {high:.1f} times")


def timed(
    model: Model, cut: Packed, held: Attachments, disease: str, *, evidence: bool
) -> tuple[float, Answer]:
    """Ask at the patient's last moment; give the seconds and the answer."""
    records = pl.DataFrame({"source": ["x/1"] * (int(cut.event_ref.max(initial=0)) + 1)})
    index, asked = Index(np.zeros(1, np.int64), cut.moment_time[-1:]), [question(disease, evidence=evidence)]
    begin = time.perf_counter()
    answer = ask(model, cut, asked, index, attachments=held, records=records, limits=EVERYTHING)[0]
    return time.perf_counter() - begin, answer


def forget(model: Model) -> None:
    """Make the model's documents new to it."""
    model.attaching._caches.clear()
    for encoder in model.attaching.encoders.values():
        if isinstance(encoder, NoteEncoder):
            encoder._known.clear()


def parts(of: Invented, senseless: Model, kind: int) -> None:
    """Say how faithful parts of the newest note or image of held-out patients are."""
    rng, others = np.random.default_rng(0), notes_of(of) if kind == NOTE else []
    found = np.array(
        [row for cut, held in held_out(of) for row in judged_parts(of, senseless, kind, cut, held, others)]
    )
    if not len(found):
        return
    another = [rng.choice(np.delete(np.arange(PARTS), top)) for top in found[:, :PARTS].argmax(axis=1)]
    at, top, wrong = (
        np.arange(len(found)),
        found[:, :PARTS].argmax(axis=1),
        found[:, 2 * PARTS :].argmax(axis=1),
    )
    change, left = found[:, :PARTS], found[:, PARTS : 2 * PARTS]
    title = f"{ATTACHMENT_KINDS[kind]}: {len(found)} answers"
    print(f"\n| {title} | its part (90% interval) | another | difference |\n|---|---|---|---|")
    for name, a, b in (
        ("comprehensiveness: change without it", change[at, top], change[at, another]),
        ("sufficiency: distance with it alone", left[at, top], left[at, another]),
        ("randomised weights: change without theirs", change[at, wrong], change[at, top]),
    ):
        print(f"| {name} | {mean(a, rng)} | {mean(b, rng)} | {mean(a - b, rng)} |")


def notes_of(of: Invented) -> list[tuple[int, Note]]:
    """Give the newest notes of held-out patients, with whose they are."""
    found = []
    for cut, held in held_out(of):
        mine = cut.attachment_ref[cut.attachment_kind == NOTE].astype(np.int64)
        if len(mine):
            found.append((int(cut.subject[0]), held.contents(NOTE, mine[-1:])[0]))
    return found


def judged_parts(
    of: Invented,
    senseless: Model,
    kind: int,
    cut: Packed,
    held: Attachments,
    others: list[tuple[int, Note]],
) -> Iterator[np.ndarray]:
    """Give of each disease: changes without each part, distances with each alone, senseless changes."""
    mine = np.flatnonzero(cut.attachment_kind == kind)
    if not len(mine):
        return
    sorts = np.array(held.codes(kind, cut.attachment_ref[mine].astype(np.int64)))
    documents = mine[sorts == sorts[-1]]
    held, without = parts_of(cut, held, documents)
    if len(without) != PARTS:
        return
    strange = [note for who, note in others if who != int(cut.subject[0]) and note.kind == sorts[-1]]
    held, alone = parts_alone(
        cut, held, documents, without, [text for text in map(quarters, strange) if text]
    )
    if not alone:
        return
    every = concatenate([cut, *(one.packed for one in without), *alone])
    ours, theirs = (risks_of(model, every, int(cut.moment_time[-1]), held) for model in (of.model, senseless))
    for own, other in zip(ours, theirs, strict=True):
        if np.isfinite([*own, *other]).all():  # else it is on record already
            yield np.abs(np.concatenate([own[1:] - own[0], other[1 : 1 + PARTS] - other[0]]))


def quarters(note: Note) -> list[str]:
    """Cut a note as evidence does; nothing of one that is too short."""
    spans = spans_of(note.text)
    return [note.text[low:high] for low, high in spans] if len(spans) == PARTS else []


def parts_alone(
    cut: Packed, held: Attachments, documents: np.ndarray, without: list[Part], strange: list[list[str]]
) -> tuple[Attachments, list[Packed]]:
    """Leave one part of the newest document, each in turn; older ones stay as they are.

    Args:
        cut: of one patient.
        held: what it points at.
        documents: of one sort.
        without: the parts.
        strange: other patients' notes of the sort, in parts; without any, nothing comes back of a note.
    """
    kind = int(cut.attachment_kind[documents[-1]])
    ref = cut.attachment_ref[documents[-1:]].astype(np.int64)
    (whole,) = held.contents(kind, ref)
    contents: list[Note | Image] = []
    if isinstance(whole, Note) and not strange:
        return held, []
    for place, part in enumerate(without):
        if isinstance(whole, Note):
            amid = [*strange[int(cut.subject[0]) % len(strange)]]
            amid[place] = whole.text[slice(*part.where)]
            contents.append(Note(whole.kind, " ".join(amid)))
        elif isinstance(whole, Image):
            rows, columns = whole.pixels.shape[1:]
            left, top, right, bottom = part.where
            at = np.s_[
                :, round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)
            ]
            pixels = np.full_like(whole.pixels, np.median(whole.pixels))
            pixels[at] = whole.pixels[at]
            contents.append(replace(whole, pixels=pixels))
    copies = []
    for content in contents:
        held, new = held.beside(kind, ref, [content])
        moved = cut.attachment_ref.copy()
        moved[documents[-1:]] = new
        copies.append(cut.with_arrays(attachment_ref=moved))
    return held, copies


def risks_of(model: Model, packed: Packed, as_of: int, held: Attachments) -> np.ndarray:
    """Give the risk of each disease, of each patient."""
    index = Index(np.arange(packed.n_patients), np.full(packed.n_patients, as_of))
    asked = [question(disease, evidence=False) for disease in DISEASES]
    return ask(model, packed, asked, index, attachments=held, limits=EVERYTHING).risk.T


def judged(
    of: Invented, senseless: Model, cut: Packed, at: int, disease: str, rng: np.random.Generator
) -> tuple[list[float], list[float]] | None:
    """Give the changes of one patient's risk, and whether signs of the disease were named."""
    records = pl.DataFrame({"source": ["x/1"] * (int(cut.event_ref.max()) + 1)})
    index = Index(np.zeros(1, np.int64), np.array([at]))
    moved, theirs = (
        ask(model, cut, [question(disease, evidence=True)], index, records=records, limits=EVERYTHING)[
            0
        ].moved
        for model in (of.model, senseless)
    )
    birth = of.model.vocabulary.index_of(BIRTH)
    codes = [int(code) for code in np.unique(cut.event_code) if code not in (birth, 0)]
    if not moved or not theirs or len(codes) < 6:
        return None
    first, wrong = (of.model.vocabulary.index_of(one[0].code) for one in (moved, theirs))
    other, whole = control(cut, first, codes), risk(of.model, cut, at, disease)
    gone = [
        abs(risk(of.model, without_codes(cut, np.array([code])), at, disease) - whole)
        for code in (first, other, wrong)
    ]
    alone = [
        abs(
            risk(of.model, without_codes(cut, np.array([c for c in codes if c != code])), at, disease) - whole
        )
        for code in (first, other)
    ]
    named = {one.code for one in moved}
    drawn = {
        of.model.vocabulary.codes[int(code)] for code in rng.choice(codes, min(5, len(codes)), replace=False)
    }
    return [gone[0], gone[1], *alone, gone[2]], [
        float(bool(named & signs(disease))),
        float(bool(drawn & signs(disease))),
    ]


def mean(values: np.ndarray, rng: np.random.Generator) -> str:
    """Write a mean with its 90% interval."""
    means = values[rng.integers(len(values), size=(500, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
