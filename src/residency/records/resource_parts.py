"""In: FHIR R4 JSON. Out: the data types that resources are made of, with only the fields we use."""

from msgspec import Raw, Struct

NOTHING = Raw(b"")


class Period(Struct, gc=False):
    """A time from and to."""

    start: str | None = None
    end: str | None = None


class Quantity(Struct, gc=False):
    """A number with a unit; `code` is UCUM where the sender says so."""

    value: float | None = None
    unit: str | None = None
    code: str | None = None


class Coding(Struct, gc=False):
    """A code of a system."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Concept(Struct, gc=False):
    """A CodeableConcept."""

    coding: list[Coding] = []
    text: str | None = None


class Reference(Struct, gc=False):
    """A reference to another resource."""

    reference: str | None = None


class Extension(Struct, gc=False):
    """An extension; the US Core race and ethnicity are extensions of extensions."""

    url: str = ""
    valueCoding: Coding | None = None  # noqa: N815 - FHIR's spelling, here and below
    valueDateTime: str | None = None  # noqa: N815
    extension: "list[Extension]" = []


class Identifier(Struct, gc=False):
    """A number by which something is known."""

    system: str | None = None
    value: str | None = None


class HumanName(Struct, gc=False):
    """A person's name."""

    text: str | None = None
    family: str | None = None
    given: list[str] = []


class ContactPoint(Struct, gc=False):
    """A telephone number, an e-mail address, or the like."""

    system: str | None = None
    value: str | None = None


class Contact(Struct, gc=False):
    """A relative or guardian."""

    name: HumanName | None = None
    telecom: list[ContactPoint] = []


class Address(Struct, gc=False):
    """Where a patient lives."""

    line: list[str] = []
    city: str | None = None
    district: str | None = None
    postalCode: str | None = None  # noqa: N815


class Communication(Struct, gc=False):
    """A language of a patient."""

    language: Concept | None = None
    preferred: bool = False


class Attachment(Struct, frozen=True, gc=False):
    """A document; `data` is base64."""

    contentType: str | None = None  # noqa: N815
    data: str | None = None
    url: str | None = None
