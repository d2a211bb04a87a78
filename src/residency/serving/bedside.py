"""In: one identified patient, questions and times. Out: answers with the caller's own references and dates.

The patient goes through the release's own de-identification in memory, is packed by the code that packed the
training data, and is asked about by the code that was examined. Nothing identified is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import msgspec
import numpy as np
import pyarrow as pa

from residency.contract.errors import InputError
from residency.contract.questions import Answer, AnyQuestion
from residency.reasoning import Answers, Index, ask
from residency.release import Release
from residency.release.allow_list import Allowed
from residency.serving.questions import allowed_of
from residency.serving.veil import Veil
from residency.timeline import pack

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times in tables are naive


@dataclass(frozen=True)
class Patient:
    """One identified patient.

    Attributes:
        reference: what the caller calls the patient.
        events: in the schema of events.
    """

    reference: str
    events: pa.Table


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
        return Veil.of(self.release.policy, self.key)

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
        veiled = self.veil.over(patient.events)
        if not veiled.events.num_rows:
            raise InputError("no event is left once the release's de-identification has been applied")
        packed = pack(veiled.events, self.release.model.vocabulary)
        as_of = np.array([_microseconds(time + veiled.shift) for time in times], dtype=np.int64)
        index = Index(np.zeros(len(times), dtype=np.int64), as_of)
        answers = ask(
            self.release.model,
            packed,
            questions,
            index,
            release=self.release.digest,
            allowed=allowed_of(items),
        )
        return tuple(
            self._merged(answers, row, len(questions), patient, veiled.shift) for row in range(len(times))
        )

    def _merged(
        self, answers: Answers, row: int, n_questions: int, patient: Patient, shift: timedelta
    ) -> Answer:
        """Put the answers to all questions at one time together, in the caller's own terms."""
        parts = [answers.answer(row, number) for number in range(n_questions)]
        first, freshness = parts[0], parts[0].freshness
        latest = freshness.latest - shift if freshness.latest is not None else None
        return msgspec.structs.replace(
            first,
            subject=patient.reference,
            as_of=first.as_of - shift,
            freshness=msgspec.structs.replace(freshness, latest=latest),
            risks=tuple(risk for part in parts for risk in part.risks),
            abstentions=tuple(one for part in parts for one in part.abstentions),
        )


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
