"""In: a code system and a code. Out: the one spelling used in every table, `SYSTEM/code`."""

import re
from dataclasses import dataclass
from typing import Final

BIRTH: Final = "MEDS_BIRTH"
DEATH: Final = "MEDS_DEATH"
UNKNOWN_CODE: Final = "UNKNOWN"  # a code that a vocabulary lacks, or that a policy hides


@dataclass(frozen=True)
class CodeSystem:
    """One vocabulary that codes are taken from.

    Attributes:
        name: what stands before the slash.
        uris: how FHIR names it (`Coding.system`), OIDs included; empty for our own.
        description: what it codes.
    """

    name: str
    uris: tuple[str, ...]
    description: str


SYSTEMS: Final[tuple[CodeSystem, ...]] = (
    CodeSystem(
        "LOINC", ("http://loinc.org", "urn:oid:2.16.840.1.113883.6.1"), "laboratory tests, vital signs"
    ),
    CodeSystem("SNOMED", ("http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"), "clinical findings"),
    CodeSystem(
        "ICD10CM", ("http://hl7.org/fhir/sid/icd-10-cm", "urn:oid:2.16.840.1.113883.6.90"), "diagnoses"
    ),
    CodeSystem("ICD10", ("http://hl7.org/fhir/sid/icd-10",), "diagnoses, international"),
    CodeSystem(
        "ICD9CM", ("http://hl7.org/fhir/sid/icd-9-cm", "urn:oid:2.16.840.1.113883.6.103"), "diagnoses to 2015"
    ),
    CodeSystem(
        "ICD10PCS",
        ("http://www.cms.gov/Medicare/Coding/ICD10", "urn:oid:2.16.840.1.113883.6.4"),
        "procedures",
    ),
    CodeSystem("CPT", ("http://www.ama-assn.org/go/cpt", "urn:oid:2.16.840.1.113883.6.12"), "procedures"),
    CodeSystem(
        "HCPCS", ("https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",), "procedures, supplies"
    ),
    CodeSystem(
        "RXNORM", ("http://www.nlm.nih.gov/research/umls/rxnorm", "urn:oid:2.16.840.1.113883.6.88"), "drugs"
    ),
    CodeSystem("NDC", ("http://hl7.org/fhir/sid/ndc", "urn:oid:2.16.840.1.113883.6.69"), "drug packages"),
    CodeSystem("ATC", ("http://www.whocc.no/atc",), "drug classes"),
    CodeSystem("CVX", ("http://hl7.org/fhir/sid/cvx", "urn:oid:2.16.840.1.113883.12.292"), "vaccines"),
    CodeSystem("HGNC", ("http://www.genenames.org/geneId", "http://www.genenames.org"), "genes"),
    CodeSystem("DICOM", ("http://dicom.nema.org/resources/ontology/DCM",), "imaging modalities"),
    CodeSystem(
        "VISIT", ("http://terminology.hl7.org/CodeSystem/v3-ActCode",), "a visit begins: AMB, EMER, IMP, …"
    ),
    CodeSystem("VISIT_END", (), "a visit ends; the same codes"),
    CodeSystem("DEMOGRAPHIC", (), "static facts: SEX, RACE, ETHNICITY, LANGUAGE, ZIP"),
    CodeSystem("FAMILY", (), "a relative's condition, never the patient's own: FAMILY/SYSTEM:CODE"),
    CodeSystem("ALLERGY", (), "an allergy or intolerance: ALLERGY/SYSTEM:CODE"),
    CodeSystem("COVERAGE", (), "insurance"),
    CodeSystem("CONSENT", (), "consent to the use of records: permit, deny"),
    CodeSystem("VITAL", (), "a bedside measurement that its source gives no code"),
    CodeSystem("LAB", (), "a laboratory test that its source gives no code"),
    CodeSystem("LOCAL", (), "anything else that its source gives no code"),
    CodeSystem("MEDS", (), "MEDS_BIRTH and MEDS_DEATH, written without a slash"),
)

_BY_URI: Final = {uri: system.name for system in SYSTEMS for uri in system.uris}
_NAMES: Final = frozenset(system.name for system in SYSTEMS)


def join(system: str, code: str) -> str:
    """Spell a code.

    Args:
        system: a name in `SYSTEMS`.
        code: the code within the system.

    Raises:
        KeyError: the system is not in `SYSTEMS`.

    Example:
        >>> join("LOINC", "2160-0")
        'LOINC/2160-0'
    """
    if system not in _NAMES:
        raise KeyError(system)
    return f"{system}/{code}"


def system_of_uri(uri: str) -> str | None:
    """Name the system that FHIR calls `uri`; None where the table has none.

    Example:
        >>> system_of_uri("http://loinc.org")
        'LOINC'
    """
    return _BY_URI.get(uri)


_ICD = re.compile(r"^(ICD10CM|ICD10|ICD9CM)/([A-Z0-9]{3,4})\.([A-Z0-9]+)$")
_ATC = re.compile(r"^ATC/([A-Z][0-9]{2}[A-Z]?[A-Z]?(?:[0-9]{2})?)$")
_ATC_LENGTHS: Final = (1, 3, 4, 5, 7)


def built_in_parents(code: str) -> tuple[str, ...]:
    """Give the nearest ancestor that a code's own spelling tells.

    ICD codes lose their last character (`E11.22` → `E11.2` → `E11`); ATC codes go up one of the five levels.

    Example:
        >>> [built_in_parents(f"ICD10CM/{code}") for code in ("E11.22", "E11.9", "E11")]
        [('ICD10CM/E11.2',), ('ICD10CM/E11',), ()]
    """
    if icd := _ICD.match(code):
        system, category, rest = icd.groups()
        return (f"{system}/{category}.{rest[:-1]}" if len(rest) > 1 else f"{system}/{category}",)
    if atc := _ATC.match(code):
        shorter = [length for length in _ATC_LENGTHS if length < len(atc[1])]
        return (f"ATC/{atc[1][: shorter[-1]]}",) if shorter else ()
    return ()
