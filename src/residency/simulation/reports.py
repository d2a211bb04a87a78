"""In: nothing. Out: the FHIR R4 resources beyond coded events: reports, documents, images, cover, consent."""

from msgspec import Raw, Struct

from residency.simulation.resources import Period, Resource, raw

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


class DiagnosticReport(Resource, tag_field="resourceType", tag=True):
    """A report of a laboratory, of imaging or of a genome."""

    status: str
    category: Raw
    code: Raw
    subject: Raw
    encounter: Raw
    effective_date_time: str
    issued: str
    performer: Raw | None = None
    result: list[Raw] | None = None
    imaging_study: list[Raw] | None = None
    conclusion: str | None = None


class DocumentReference(Resource, tag_field="resourceType", tag=True):
    """A note, its text inside as base64."""

    status: str
    doc_status: str
    type: Raw
    category: Raw
    subject: Raw
    date: str
    author: Raw
    content: Raw
    context: Raw


class ImagingStudy(Resource, tag_field="resourceType", tag=True):
    """Images that were made: their numbers; the images themselves are DICOM files."""

    status: str
    identifier: Raw
    modality: Raw
    subject: Raw
    encounter: Raw
    started: str
    number_of_series: int
    number_of_instances: int
    description: str
    series: Raw


class GenomicObservation(Resource, tag_field="resourceType", tag="Observation"):
    """What a genome says about one gene, as reported."""

    status: str
    category: Raw
    code: Raw
    subject: Raw
    encounter: Raw
    effective_date_time: str
    issued: str
    value_codeable_concept: Raw
    component: Raw


class AllergyIntolerance(Resource, tag_field="resourceType", tag=True):
    """An allergy."""

    clinical_status: Raw
    verification_status: Raw
    type: str
    category: list[str]
    code: Raw
    patient: Raw
    recorded_date: str
    reaction: Raw


class FamilyMemberHistory(Resource, tag_field="resourceType", tag=True):
    """What a relative has or had."""

    status: str
    patient: Raw
    date: str
    relationship: Raw
    condition: Raw


class Coverage(Resource, tag_field="resourceType", tag=True):
    """Who pays."""

    status: str
    subscriber_id: str
    beneficiary: Raw
    period: Period
    payor: Raw


class Consent(Resource, tag_field="resourceType", tag=True):
    """Whether records may be used for research."""

    status: str
    scope: Raw
    category: Raw
    patient: Raw
    date_time: str
    provision: Raw


class Coding(Struct):
    """One code of a system of HL7's own."""

    system: str
    code: str
    display: str


def coded(system: str, code: str, display: str) -> Raw:
    """Write a concept of one of HL7's own code systems."""
    return raw({"coding": [Coding(f"{_TERMINOLOGY}/{system}", code, display)], "text": display})
