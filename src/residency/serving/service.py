"""In: a caller's key and a question about a patient. Out: the answer in their terms, and an audit row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from residency.contract.errors import ForbiddenError, InputError, NotFoundError, QuotaError, ResidencyError
from residency.contract.plugins import Encoder
from residency.contract.questions import Answer
from residency.release import Release
from residency.serving.audit import Audit, Row, mark_of
from residency.serving.bedside import Bedside, Patient
from residency.serving.grants import Grant, Grants
from residency.serving.identified import events_of_fhir, events_of_meds
from residency.serving.panel import Listed, Panel
from residency.serving.questions import granted, questions_of, tasks_touched
from residency.serving.sentences import WHY_NOT
from residency.serving.wire import PatientContext
from residency.validation.silent import HELD_BACK, arm_of

T = TypeVar("T")
Clock = Callable[[], datetime]
BANNER: Final = "DEMO: signed with keys that anyone may have; not for care."


@dataclass
class Note:
    """What the audit is told about one request, as it becomes known."""

    key: str | None
    body: bytes
    kind: str
    grant: Grant | None = None
    tasks: tuple[str, ...] = ()
    status: int = 500


@dataclass(frozen=True)
class Service:
    """One release at work.

    Attributes:
        release: verified and open.
        grants: who may ask.
        audit: of every answer.
        bedside: asks the release about identified patients.
        clock: tells the time, aware.
        panel: the institution's own patients; None away from it.
    """

    release: Release
    grants: Grants
    audit: Audit
    bedside: Bedside
    clock: Clock
    panel: Panel | None = None

    @property
    def name(self) -> str:
        """What clients call the model."""
        return f"residency-{self.release.digest[:12]}"

    @property
    def banner(self) -> str:
        """What stands over every page and answer."""
        return BANNER if self.release.demo else ""

    def answer(
        self, key: str | None, body: bytes, read: Callable[[bytes], PatientContext]
    ) -> tuple[Answer, ...]:
        """Answer one request.

        Args:
            key: that the caller sent.
            body: of the request.
            read: takes the patient and the question out of the body.

        Returns:
            One answer for each time that is asked about.

        Raises:
            ResidencyError: says what is wrong, and how to mend it.
        """
        with self._audited(Note(key, body, "ask")) as note:
            grant = self._admit(note)
            self._within_quota(grant)
            context = read(body)
            items = granted(self.release.allow_list, grant)
            questions = questions_of(context, items)
            note.kind = str(type(questions[0]).__struct_config__.tag)
            note.tasks = tasks_touched(questions, self.release.allow_list, grant)
            patient = self._patient(context, grant)
            return self.bedside.ask(patient, questions, self._times(context), items)

    def patients(self, key: str | None) -> tuple[Listed, ...]:
        """List the panel.

        Raises:
            ResidencyError: the caller may not see it, or there is none.
        """
        with self._audited(Note(key, b"", "patients")) as note:
            return self._panel_for(self._admit(note)).patients

    def look(self, key: str | None, what: str, subject_id: str, see: Callable[[Panel, int], T]) -> T:
        """Let a caller look at one patient of the panel.

        Args:
            key: that the caller sent.
            what: is looked at; for the audit.
            subject_id: as it was sent.
            see: gives what is to be seen.

        Raises:
            ResidencyError: the caller may not see it, or there is no such patient.
        """
        with self._audited(Note(key, subject_id.encode(), what)) as note:
            panel = self._panel_for(self._admit(note))
            return see(panel, _number(subject_id))

    def by(self, as_of: datetime | None) -> datetime:
        """Give a time by the records' clock; now where there is none."""
        return self._wall(as_of or self.clock())

    @property
    def genome_encoder(self) -> Encoder | None:
        """What the release's model reads genomes with; None where it reads none."""
        return self.release.model.attaching.encoders.get("variants")

    def about(self, key: str | None) -> dict[str, Any]:
        """Say what the release is, how it stands, and what it may answer.

        Raises:
            AccessError: the key is not known.
        """
        self.grants.of(key, self.clock())
        release = self.release
        return {
            "release": release.digest,
            "name": self.name,
            "state": str(release.state),
            "demo": release.demo,
            "banner": self.banner,
            "panel": self.panel is not None,
            "why_not": WHY_NOT,
            "newest_record": self._newest(),
            "allow_list": msgspec.to_builtins(release.allow_list),
            "card": msgspec.to_builtins(release.card),
        }

    def admit(self, key: str | None) -> Grant:
        """Let a caller in who only wants to know what there is.

        Raises:
            AccessError: the key is not known.
        """
        return self.grants.of(key, self.clock())

    def _newest(self) -> str | None:
        """When the panel's feed last delivered."""
        times = [one.latest for one in self.panel.patients if one.latest] if self.panel is not None else []
        return max(times).isoformat() if times else None

    @contextmanager
    def _audited(self, note: Note) -> Iterator[Note]:
        """Write a row whatever comes of a request; an answer that cannot be audited is not given."""
        asked, started = self.clock(), perf_counter()
        try:
            yield note
            note.status = 200
        except ResidencyError as error:
            note.status = error.status
            raise
        finally:
            self.audit.write(
                Row(
                    time=asked,
                    grantee=note.grant.name if note.grant else "",
                    purpose=note.grant.purpose if note.grant else "",
                    kind=note.kind,
                    tasks=note.tasks,
                    release=self.release.digest,
                    state=str(self.release.state),
                    status=note.status,
                    latency_ms=1000 * (perf_counter() - started),
                    request=mark_of(note.key, note.body),
                )
            )

    def _admit(self, note: Note) -> Grant:
        note.grant = self.grants.of(note.key, self.clock())
        return note.grant

    def _within_quota(self, grant: Grant) -> None:
        if self.audit.answered_today(grant.name, self.clock()) >= grant.quota_per_day:
            raise QuotaError("today's share of answers is used up", mend="it begins anew at midnight, UTC")

    def _panel_for(self, grant: Grant) -> Panel:
        if self.panel is None:
            raise NotFoundError("this service has no panel", mend="send the patient as FHIR or MEDS")
        if not grant.panel:
            raise ForbiddenError("the grant does not open the panel")
        return self.panel

    def _patient(self, context: PatientContext, grant: Grant) -> Patient:
        """Give the identified records of the patient who is asked about."""
        source, units, sent = context.source, self.bedside.units, context.sent
        if source == "subject_id":
            panel, number = self._panel_for(grant), _number(str(context.subject_id))
            documents = panel.documents.documents_of(number)
            stalled = panel.stalled(max(self._times(context)))
            held_back = self._held_back(number)
            return Patient(str(number), panel.events_of(number), {}, documents, stalled, held_back)
        zone = self.panel.zone if self.panel is not None else ""
        if source == "fhir":
            found = events_of_fhir(bytes(context.fhir), units, site="", time_zone=zone)
        else:
            found = events_of_meds(bytes(context.meds), units)
        documents = found.documents.beside(sent.documents(found.subject_id))
        return Patient(str(found.subject_id), found.events, found.left_out, documents)

    def _held_back(self, number: int) -> bool:
        """Tell whether a patient of the panel is of those to whom no figure is shown."""
        policy = self.release.standing.policy
        arm = arm_of(np.array([number]), policy.holdout_share, policy.holdout_seed)
        return bool(arm[0] == HELD_BACK)

    def _times(self, context: PatientContext) -> tuple[datetime, ...]:
        """Give the times that are asked about, by the records' clock; now, where the request does not say."""
        return tuple(self._wall(time) for time in context.times) or (self.by(context.as_of),)

    def _wall(self, time: datetime) -> datetime:
        if time.tzinfo is not None and self.panel is not None:
            time = self.panel.in_zone(time)
        return time.replace(tzinfo=None)


def _number(subject_id: str) -> int:
    try:
        return int(subject_id)
    except ValueError:
        raise InputError("a subject_id is a whole number", where="subject_id") from None
