"""In: nothing. Out: the FHIR R4 resources that a simulated hospital writes, as typed JSON."""

from typing import Final

import msgspec
from msgspec import Raw, Struct

SYSTEM: Final = {
    "LOINC": "http://loinc.org",
    "SNOMED": "http://snomed.info/sct",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "UCUM": "http://unitsofmeasure.org",
}
US_CORE_RACE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
OMB: Final = "urn:oid:2.16.840.1.113883.6.238"
_ENCODER: Final = msgspec.json.Encoder()


class Resource(Struct, rename="camel", omit_defaults=True, gc=False):
    """What every resource has; fields that are None are not written."""

    id: str


class Quantity(Struct, gc=False):
    """A number with a UCUM unit."""

    value: float
    unit: str
    code: str
    system: str = SYSTEM["UCUM"]


class Component(Struct, rename="camel", gc=False):
    """One part of a measurement."""

    code: Raw
    value_quantity: Quantity


class Period(Struct, gc=False):
    """From and to."""

    start: str
    end: str


class Patient(Resource, tag_field="resourceType", tag=True):
    """A patient, with a name and a number as a hospital has them; all invented."""

    identifier: Raw
    name: Raw
    telecom: Raw
    gender: str
    birth_date: str
    address: Raw
    communication: Raw
    extension: Raw
    managing_organization: Raw
    deceased_date_time: str | None = None


class Encounter(Resource, tag_field="resourceType", tag=True, rename={"class_": "class"}):
    """A visit."""

    status: str
    class_: Raw
    subject: Raw
    period: Period


class Condition(Resource, tag_field="resourceType", tag=True):
    """A diagnosis."""

    verification_status: Raw
    code: Raw
    subject: Raw
    encounter: Raw
    recorded_date: str
    onset_date_time: str | None = None


class Observation(Resource, tag_field="resourceType", tag=True):
    """A measurement."""

    status: str
    code: Raw
    subject: Raw
    encounter: Raw
    effective_date_time: str
    issued: str
    value_quantity: Quantity | None = None
    value_codeable_concept: Raw | None = None
    component: list[Component] | None = None


class MedicationRequest(Resource, tag_field="resourceType", tag=True):
    """An order of a drug."""

    status: str
    intent: str
    medication_codeable_concept: Raw
    subject: Raw
    encounter: Raw
    authored_on: str
    dosage_instruction: list[Raw] | None = None


class Dosage(Struct, gc=False):
    """How much was given."""

    dose: Quantity


class MedicationAdministration(Resource, tag_field="resourceType", tag=True):
    """A drug given."""

    status: str
    medication_codeable_concept: Raw
    subject: Raw
    context: Raw
    effective_date_time: str
    dosage: Dosage


class Procedure(Resource, tag_field="resourceType", tag=True):
    """Something done."""

    status: str
    code: Raw
    subject: Raw
    encounter: Raw
    performed_date_time: str


def raw(value: object) -> Raw:
    """Write a part once that is used often."""
    return Raw(_ENCODER.encode(value))


def concept(system: str, code: str, display: str) -> Raw:
    """Write a concept of one coding."""
    return raw({"coding": [{"system": SYSTEM[system], "code": code, "display": display}], "text": display})


def dosage(daily: Quantity) -> list[Raw]:
    """Write how much is to be taken a day."""
    timing = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    return [raw({"timing": timing, "doseAndRate": [{"doseQuantity": daily}]})]


def reference(kind: str, of: str) -> Raw:
    """Write a reference."""
    return raw({"reference": f"{kind}/{of}"})


def line(resource: Resource, into: bytearray) -> None:
    """Add a resource and a line's end."""
    _ENCODER.encode_into(resource, into, -1)
    into += b"\n"
