"""In: one identified patient, questions and times. Out: answers with the caller's own references and dates.

The patient goes through the release's own de-identification in memory, is packed by the code that packed the
training data, and is asked about by the code that was examined. Nothing identified is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract.errors import InputError
from residency.contract.packed import Packed
from residency.contract.questions import (
    Answer,
    AnyQuestion,
    Differential,
    Forecast,
    Modality,
    NextTest,
    Rollout,
    Statement,
)
from residency.reasoning import (
    Answers,
    Figures,
    Index,
    Limits,
    ask,
    chart_of,
    figures_of,
    needs,
    refuse_unknown,
    resolved,
    tell,
)
from residency.reasoning.answers import instant, microseconds
from residency.release import Release
from residency.release.allow_list import Allowed
from residency.serving.documents import Documents
from residency.serving.populations import Populations, doubts_of
from residency.serving.questions import allowed_of
from residency.serving.veil import Veil, Veiled
from residency.timeline import Attachments, packing_of

NOT_USED: Final = "not_used"
_MODALITIES: Final[tuple[Modality, ...]] = ("codes", "notes", "images", "variants")


@dataclass(frozen=True)
class Patient:
    """One identified patient.

    Attributes:
        reference: what the caller calls the patient.
        events: in the schema of events.
        left_out: what of the request is not among them, by reason.
        documents: notes, images and genomes.
        stalled: feeds that are known to deliver no more.
        held_back: no figure is shown of this patient, for comparison.
    """

    reference: str
    events: pa.Table
    left_out: Mapping[str, int] = field(default_factory=dict)
    documents: Documents = field(default_factory=Documents)
    stalled: tuple[str, ...] = ()
    held_back: bool = False


@dataclass(frozen=True)
class Bedside:
    """Asks a release about identified patients.

    Attributes:
        release: verified and open.
        key: of the de-identification.
    """

    release: Release
    key: bytes

    @cached_property
    def veil(self) -> Veil:
        """The release's own de-identification."""
        return Veil.of(self.release.policy, self.key, self.release.shown)

    @cached_property
    def populations(self) -> Populations:
        """For whom the release was shown to work."""
        return Populations.of(self.release)

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of each code's values, as the model knows them."""
        vocabulary = self.release.model.vocabulary
        return {code: unit for code, unit in zip(vocabulary.codes, vocabulary.units, strict=True) if unit}

    def ask(
        self,
        patient: Patient,
        questions: Sequence[AnyQuestion],
        times: Sequence[datetime],
        items: Sequence[Allowed],
    ) -> tuple[Answer, ...]:
        """Answer at each time.

        Args:
            patient: who is asked about.
            questions: what is asked.
            times: of the caller's clock, naive.
            items: what may be answered.

        Raises:
            InputError: the policy lets none of the events through.
        """
        refuse_unknown(questions)
        forecasts = [one for one in questions if isinstance(one, Forecast)]
        others = [one for one in questions if not isinstance(one, Forecast)]
        if others:
            return tuple(self._tell(one, patient, time, items) for time in times for one in others)
        veiled = self.veil.over(patient.events, patient.documents)
        if not veiled.events.num_rows:
            raise InputError("no event is left once the release's de-identification has been applied")
        attachments = _attachments(veiled.documents)
        packing = packing_of(veiled.events, self.release.model.vocabulary, attachments=attachments)
        packed = packing.packed
        as_of = np.array([microseconds(time + veiled.shift) for time in times], dtype=np.int64)
        index = Index(np.zeros(len(times), dtype=np.int64), as_of)
        answers = ask(
            self.release.model,
            packed,
            questions,
            index,
            attachments=packing.attachments,
            records=veiled.records if any(one.evidence for one in forecasts) else None,
            release=self.release.digest,
            allowed=allowed_of(items),
            limits=self._limits(patient),
        )
        slices = [self._slices(item, packed, index, veiled.events) for item in items]
        left_out = {**patient.left_out, **veiled.left_out}
        said = _unused({**left_out, **packing.counts, **packing.dropped, **attachments.dropped})
        said += _stalled(patient.stalled)
        return tuple(
            self.populations.judged(
                self._merged(answers, row, patient, veiled, said),
                [
                    doubt
                    for item, mine in zip(items, slices, strict=True)
                    for doubt in doubts_of(questions, item, mine[row])
                ],
            )
            for row in range(len(times))
        )

    def _tell(
        self, question: AnyQuestion, patient: Patient, time: datetime, items: Sequence[Allowed]
    ) -> Answer:
        """Answer of the identified chart, so that it speaks of the caller's own dates and records.

        The figures in it are of the de-identified patient, like all others.
        """
        vocabulary = self.release.model.vocabulary
        question = resolved(question, vocabulary)
        attachments = _attachments(patient.documents)
        packing = packing_of(patient.events, vocabulary, attachments=attachments)
        if not packing.packed.n_patients:
            raise InputError("the patient has no records")
        chart = chart_of(
            packing.packed,
            0,
            microseconds(time),
            vocabulary=vocabulary,
            records=pl.DataFrame(pl.from_arrow(patient.events.select(["source", "code"]))),
            attachments=packing.attachments,
        )
        found = [
            self.ask(patient, (need.forecast,), (instant(need.as_of),), items)[0]
            for need in needs(question, chart.as_of)
        ]
        figures = self._figures(question, patient, time, found)
        answer = tell(question, chart, found, figures=figures, release=self.release.digest)
        said = _unused({**patient.left_out, **packing.dropped, **attachments.dropped})
        return msgspec.structs.replace(
            answer, subject=patient.reference, statements=(*answer.statements, *said)
        )

    def _figures(
        self, question: AnyQuestion, patient: Patient, time: datetime, found: Sequence[Answer]
    ) -> Figures:
        """Work out what an answer needs of the model, of the de-identified patient, like all figures."""
        if not isinstance(question, Differential | NextTest | Rollout):
            return Figures()
        veiled = self.veil.over(patient.events, patient.documents)
        packing = packing_of(
            veiled.events, self.release.model.vocabulary, attachments=_attachments(veiled.documents)
        )
        as_of = np.array([microseconds(time + veiled.shift)], dtype=np.int64)
        figures = figures_of(
            self.release.model,
            packing.packed,
            question,
            found,
            Index(np.zeros(1, dtype=np.int64), as_of),
            attachments=packing.attachments,
            records=veiled.records,
            limits=self._limits(patient),
        )
        name, moved = figures.moved
        return replace(figures, moved=(name, veiled.cited(moved)))

    def _limits(self, patient: Patient) -> Limits:
        """Say when too little is known of a patient, or nothing may be told."""
        needed = self.release.standing.policy.needed
        return Limits(needed=needed, stalled=patient.stalled, held_back=patient.held_back)

    def _slices(self, item: Allowed, packed: Packed, index: Index, events: pa.Table) -> list[tuple[str, ...]]:
        """Name the examined slices that the patient is in, at each time."""
        site = next((name for name in events.column("site").to_pylist() if name), None)
        return self.populations.slices_of(item, packed, self.release.model.vocabulary, index, site)

    def _merged(
        self, answers: Answers, row: int, patient: Patient, veiled: Veiled, said: tuple[Statement, ...]
    ) -> Answer:
        """Put the answers to all questions at one time together, in the caller's own terms."""
        parts = [answers.answer(row, number) for number in range(len(answers.questions))]
        first, freshness, shift = parts[0], parts[0].freshness, veiled.shift
        latest = freshness.latest - shift if freshness.latest is not None else None
        return msgspec.structs.replace(
            first,
            subject=patient.reference,
            as_of=first.as_of - shift,
            freshness=msgspec.structs.replace(freshness, latest=latest),
            modalities=tuple(kind for kind in _MODALITIES if any(kind in part.modalities for part in parts)),
            risks=tuple(risk for part in parts for risk in part.risks),
            statements=said,
            moved=veiled.cited(tuple(one for part in parts for one in part.moved)),
            abstentions=tuple(one for part in parts for one in part.abstentions),
        )


def _attachments(documents: Documents) -> Attachments:
    return Attachments.of(
        notes=documents.notes,
        images=documents.images,
        variants=documents.variants,
        pixels=documents.pixels,
    )


def _unused(counts: Mapping[str, int]) -> tuple[Statement, ...]:
    """Say what of the request the answer does not rest on."""
    parts = [f"{reason} ({n})" for reason, n in sorted(counts.items()) if n]
    text = f"Not used as sent: {'; '.join(parts)}."
    return (Statement(text=text, citations=(), tag=NOT_USED),) if parts else ()


def _stalled(feeds: Sequence[str]) -> tuple[Statement, ...]:
    """Name the feeds that deliver no more: what happened since may lack."""
    text = f"Nothing has come for strangely long from: {', '.join(feeds)}; no figure until it does."
    return (Statement(text=text, citations=(), tag=NOT_USED),) if feeds else ()
