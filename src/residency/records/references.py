"""In: FHIR references. Out: ingest ids of patients and visits."""

from collections.abc import Callable
from typing import Final

from residency.contract.identifiers import subject_id_of, visit_id_of
from residency.records.clock import Cache
from residency.records.draft import Ints, ints
from residency.records.resource_parts import Reference

NOBODY: Final = -1
"""The reference is absent, or points at something else."""
_URN: Final = "urn:uuid:"


def target(reference: str | None, kind: str) -> str | None:
    """Give the id that a reference points at; None where it points at no resource of that kind.

    Example:
        >>> target("Patient/1", "Patient"), target("https://h/fhir/Patient/1/_history/2", "Patient")
        ('1', '1')
        >>> target("urn:uuid:ab", "Patient"), target("Group/1", "Patient"), target("#p", "Patient")
        ('ab', None, None)
    """
    if not reference:
        return None
    if reference.startswith(_URN):
        return reference[len(_URN) :]
    parts = reference.split("/")
    if len(parts) >= 4 and parts[-2] == "_history":
        parts = parts[:-2]
    if len(parts) < 2 or parts[-2] != kind or not parts[-1]:
        return None
    return parts[-1]


class Keys:
    """Ingest ids of one site.

    Attributes:
        subject: reference to a patient, to the ingest id.
        visit: reference to an encounter, to the ingest id.
        aliases: ids by what a bundle calls its entries, where the two differ.
    """

    def __init__(self, site: str) -> None:
        self.site = site
        self.aliases: dict[str, str] = {}
        self.subject = Cache(self._reader("Patient", subject_id_of), NOBODY)
        self.visit = Cache(self._reader("Encounter", visit_id_of), NOBODY)

    def _reader(self, kind: str, number: Callable[[str, str], int]) -> Callable[[str], int]:
        def read(reference: str) -> int:
            found = target(reference, kind)
            return NOBODY if found is None else number(self.aliases.get(found, found), self.site)

        return read

    def subjects(self, references: list[Reference | None]) -> Ints:
        """Give the ingest ids of patients that are referred to."""
        return ints([self.subject[one.reference if one is not None else None] for one in references])

    def visits(self, references: list[Reference | None]) -> Ints:
        """Give the ingest ids of visits that are referred to."""
        return ints([self.visit[one.reference if one is not None else None] for one in references])
