"""In: FHIR R4 JSON. Out: typed resources with only the fields we use; what repeats stays raw.

A raw field is a key into a cache: a code is spelled in the same bytes a million times, and read once.
Nothing here can hold a cycle, so the garbage collector need not look (`gc=False`).
"""

from typing import Any, Final, Union, get_args

import msgspec
from msgspec import Raw, Struct

from residency.records.resource_parts import (
    NOTHING,
    Address,
    Attachment,
    Coding,
    Communication,
    Concept,
    Contact,
    ContactPoint,
    Extension,
    HumanName,
    Identifier,
    Period,
    Quantity,
    Reference,
)
from residency.records.resource_types import NOT_READ


class Component(Struct, gc=False):
    """One part of an observation, for example the systolic pressure."""

    code: Raw = NOTHING
    valueQuantity: Quantity | None = None  # noqa: N815 - FHIR's spelling, here and below
    valueCodeableConcept: Raw = NOTHING  # noqa: N815
    valueString: str | None = None  # noqa: N815
    valueInteger: int | None = None  # noqa: N815
    valueBoolean: bool | None = None  # noqa: N815


class Observation(Struct, tag_field="resourceType", tag=True, gc=False):
    """A measurement or finding."""

    id: str = ""
    status: str = ""
    code: Raw = NOTHING
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None  # noqa: N815
    effectiveInstant: str | None = None  # noqa: N815
    effectivePeriod: Period | None = None  # noqa: N815
    issued: str | None = None
    valueQuantity: Quantity | None = None  # noqa: N815
    valueCodeableConcept: Raw = NOTHING  # noqa: N815
    valueString: str | None = None  # noqa: N815
    valueInteger: int | None = None  # noqa: N815
    valueBoolean: bool | None = None  # noqa: N815
    component: list[Component] | None = None


class Condition(Struct, tag_field="resourceType", tag=True, gc=False):
    """A diagnosis or problem."""

    id: str = ""
    verificationStatus: Raw = NOTHING  # noqa: N815
    code: Raw = NOTHING
    subject: Reference | None = None
    encounter: Reference | None = None
    onsetDateTime: str | None = None  # noqa: N815
    onsetPeriod: Period | None = None  # noqa: N815
    recordedDate: str | None = None  # noqa: N815


class Medication(Struct, tag_field="resourceType", tag=True, gc=False):
    """A drug that orders refer to."""

    id: str = ""
    code: Raw = NOTHING


class MedicationRequest(Struct, tag_field="resourceType", tag=True, gc=False):
    """An order of a drug."""

    id: str = ""
    status: str = ""
    intent: str = ""
    doNotPerform: bool = False  # noqa: N815
    medicationCodeableConcept: Raw = NOTHING  # noqa: N815
    medicationReference: Reference | None = None  # noqa: N815
    contained: Raw = NOTHING
    subject: Reference | None = None
    encounter: Reference | None = None
    authoredOn: str | None = None  # noqa: N815


class Dosage(Struct, gc=False):
    """How much of a drug was given."""

    dose: Quantity | None = None


class MedicationAdministration(Struct, tag_field="resourceType", tag=True, gc=False):
    """A drug given."""

    id: str = ""
    status: str = ""
    medicationCodeableConcept: Raw = NOTHING  # noqa: N815
    medicationReference: Reference | None = None  # noqa: N815
    contained: Raw = NOTHING
    subject: Reference | None = None
    context: Reference | None = None
    effectiveDateTime: str | None = None  # noqa: N815
    effectivePeriod: Period | None = None  # noqa: N815
    dosage: Dosage | None = None


class Procedure(Struct, tag_field="resourceType", tag=True, gc=False):
    """Something done to a patient."""

    id: str = ""
    status: str = ""
    code: Raw = NOTHING
    subject: Reference | None = None
    encounter: Reference | None = None
    performedDateTime: str | None = None  # noqa: N815
    performedPeriod: Period | None = None  # noqa: N815


class Encounter(Struct, tag_field="resourceType", tag=True, gc=False, rename={"class_": "class"}):
    """A visit."""

    id: str = ""
    status: str = ""
    class_: Raw = NOTHING
    subject: Reference | None = None
    period: Period | None = None


class Patient(Struct, tag_field="resourceType", tag=True, gc=False):
    """A patient; who it is stays raw until `fhir_identifiers` looks."""

    id: str = ""
    birthDate: str | None = None  # noqa: N815
    gender: str | None = None
    deceasedDateTime: str | None = None  # noqa: N815
    deceasedBoolean: bool | None = None  # noqa: N815
    extension: list[Extension] = []
    address: list[Address] = []
    name: Raw = NOTHING
    telecom: Raw = NOTHING
    identifier: Raw = NOTHING
    contact: Raw = NOTHING
    communication: Raw = NOTHING


class Content(Struct, gc=False):
    """What a document reference points at."""

    attachment: Attachment = Attachment()


class Circumstances(Struct, frozen=True, gc=False):
    """When and in which visit a document came about."""

    encounter: list[Reference] = []
    period: Period | None = None


class DocumentReference(Struct, tag_field="resourceType", tag=True, gc=False):
    """A note."""

    id: str = ""
    status: str = ""
    docStatus: str = ""  # noqa: N815
    type: Raw = NOTHING
    subject: Reference | None = None
    date: str | None = None
    extension: list[Extension] = []
    content: list[Content] = []
    context: Circumstances = Circumstances()


class DiagnosticReport(Struct, tag_field="resourceType", tag=True, gc=False):
    """A report of an examination, with what it says as text."""

    id: str = ""
    status: str = ""
    category: list[Concept] = []
    code: Raw = NOTHING
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None  # noqa: N815
    effectivePeriod: Period | None = None  # noqa: N815
    issued: str | None = None
    conclusion: str | None = None
    presentedForm: list[Attachment] = []  # noqa: N815


class ImagingSeries(Struct, gc=False):
    """A series of an imaging study."""

    modality: Coding | None = None


class ImagingStudy(Struct, tag_field="resourceType", tag=True, gc=False):
    """An examination by images."""

    id: str = ""
    status: str = ""
    identifier: list[Identifier] = []
    modality: list[Coding] = []
    procedureCode: list[Concept] = []  # noqa: N815
    subject: Reference | None = None
    encounter: Reference | None = None
    started: str | None = None
    series: list[ImagingSeries] = []


class AllergyIntolerance(Struct, tag_field="resourceType", tag=True, gc=False):
    """What a patient does not tolerate."""

    id: str = ""
    verificationStatus: Raw = NOTHING  # noqa: N815
    code: Raw = NOTHING
    patient: Reference | None = None
    encounter: Reference | None = None
    onsetDateTime: str | None = None  # noqa: N815
    recordedDate: str | None = None  # noqa: N815


class Coverage(Struct, tag_field="resourceType", tag=True, gc=False):
    """Who pays."""

    id: str = ""
    status: str = ""
    type: Raw = NOTHING
    subscriberId: str | None = None  # noqa: N815
    beneficiary: Reference | None = None
    period: Period | None = None


class Provision(Struct, gc=False):
    """What a consent says: permit or deny."""

    type: str | None = None


class Consent(Struct, tag_field="resourceType", tag=True, gc=False):
    """What a patient agreed to, or did not."""

    id: str = ""
    status: str = ""
    scope: Raw = NOTHING
    patient: Reference | None = None
    dateTime: str | None = None  # noqa: N815
    provision: Provision | None = None


class FamilyCondition(Struct, gc=False):
    """A condition of a relative."""

    code: Raw = NOTHING


class FamilyMemberHistory(Struct, tag_field="resourceType", tag=True, gc=False):
    """Conditions of one relative: never the patient's own."""

    id: str = ""
    status: str = ""
    patient: Reference | None = None
    date: str | None = None
    relationship: Raw = NOTHING
    condition: list[FamilyCondition] = []


class MapTarget(Struct, gc=False):
    """What a code is mapped to; R4 says `equivalence`, R5 `relationship`."""

    code: str | None = None
    equivalence: str | None = None
    relationship: str | None = None


class MapElement(Struct, gc=False):
    """One code of a map."""

    code: str | None = None
    display: str | None = None
    target: list[MapTarget] = []


class MapGroup(Struct, gc=False):
    """The part of a map between two systems."""

    source: str | None = None
    target: str | None = None
    element: list[MapElement] = []


class ConceptMap(Struct, tag_field="resourceType", tag=True, gc=False):
    """Which codes mean the same, or a wider thing."""

    id: str = ""
    group: list[MapGroup] = []


class Skipped(Struct, tag_field="resourceType", gc=False):
    """A resource whose type is not read."""


SKIPPED: Final = tuple(
    msgspec.defstruct(name, [], bases=(Skipped,), tag_field="resourceType", tag=name, gc=False)
    for name in NOT_READ
)

Clinical = (
    Patient
    | Encounter
    | Condition
    | Observation
    | MedicationRequest
    | MedicationAdministration
    | Procedure
    | Medication
    | ConceptMap
    | DocumentReference
    | DiagnosticReport
    | ImagingStudy
    | AllergyIntolerance
    | Coverage
    | Consent
    | FamilyMemberHistory
)
READ: Final = tuple(kind.__name__ for kind in get_args(Clinical))


class Head(Struct, gc=False):
    """What any resource says of itself."""

    resourceType: str | None = None  # noqa: N815


class RawEntry(Struct, gc=False):
    """A bundle's entry that is not read yet."""

    fullUrl: str | None = None  # noqa: N815
    resource: Raw = NOTHING


class RawBundle(Struct, gc=False):
    """A bundle whose entries are read one by one."""

    entry: list[RawEntry] = []


_ONE: Any = Union[(*get_args(Clinical), *SKIPPED)]


class Entry(Struct, gc=False):
    """A bundle's entry."""

    resource: _ONE | None = None
    fullUrl: str | None = None  # noqa: N815


class Bundle(Struct, tag_field="resourceType", tag=True, gc=False):
    """Resources of one or many patients in one document."""

    entry: list[Entry] = []


RESOURCE: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(_ONE | Bundle)
HEAD: Final = msgspec.json.Decoder(Head)
RAW_BUNDLE: Final = msgspec.json.Decoder(RawBundle)
CONCEPT: Final = msgspec.json.Decoder(Concept)
CODING: Final = msgspec.json.Decoder(Coding | list[Concept])
NAMES: Final = msgspec.json.Decoder(list[HumanName])
TELECOM: Final = msgspec.json.Decoder(list[ContactPoint])
IDENTIFIERS: Final = msgspec.json.Decoder(list[Identifier])
CONTACTS: Final = msgspec.json.Decoder(list[Contact])
LANGUAGES: Final = msgspec.json.Decoder(list[Communication])
CONTAINED: Final = msgspec.json.Decoder(list[Raw])
