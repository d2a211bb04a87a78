"""In: a person's chart. Out: who pays, consent, allergies, relatives' illnesses, as FHIR resources."""

from collections.abc import Iterator

import numpy as np

from residency.simulation.chances import RECORDS, stream
from residency.simulation.charting import Chart
from residency.simulation.names import names
from residency.simulation.reports import AllergyIntolerance, Consent, Coverage, FamilyMemberHistory, coded
from residency.simulation.resources import Period, Resource, concept, raw

_ALLERGIC, _ALLOWS, _ASKED = 0.18, 0.9, 0.4
_RELATIVES = (("MTH", "mother"), ("FTH", "father"), ("BRO", "brother"), ("SIS", "sister"))
_RUNS = (
    ("44054006", "Diabetes mellitus type 2"),
    ("22298006", "Myocardial infarction"),
    ("363358000", "Malignant tumor of lung"),
    ("230690007", "Cerebrovascular accident"),
    ("709044004", "Chronic kidney disease"),
)


def cover(chart: Chart, seed: int) -> Iterator[Resource]:
    """Write cover, consent, and what was asked at the first visit."""
    desk, who = chart.desk, chart.who
    rng = stream(seed, desk.person.number, RECORDS)
    u = np.random.default_rng(rng.integers(2**63)).random(8)  # apart from what the identity draws
    first = desk.times(desk.contacts.day[:1])[0]
    last = desk.times(desk.contacts.end[-1:])[0]
    yield Coverage(
        f"{who.id}-v",
        "active",
        who.member,
        desk.subject,
        Period(first, last),
        raw([{"display": who.insurer}]),
    )
    decision = "permit" if u[0] < _ALLOWS else "deny"
    yield Consent(
        f"{who.id}-y", "active", coded("consentscope", "research", "Research"),
        raw([{"coding": [{"system": "http://loinc.org", "code": "59284-0", "display": "Consent Document"}]}]),
        desk.subject, first, raw({"type": decision}),
    )  # fmt: skip
    if u[1] < _ALLERGIC:
        one = names().allergen[int(u[2] * len(names().allergen))]
        yield AllergyIntolerance(
            f"{who.id}-z", coded("allergyintolerance-clinical", "active", "Active"),
            coded("allergyintolerance-verification", "confirmed", "Confirmed"), "allergy", ["medication"],
            concept("RXNORM", one.code, one.display), desk.subject, first,
            raw([{"manifestation": [{"text": one.reaction}]}]),
        )  # fmt: skip
    if u[3] < _ASKED:
        relative, runs = _RELATIVES[int(u[4] * len(_RELATIVES))], _RUNS[int(u[5] * len(_RUNS))]
        yield FamilyMemberHistory(
            f"{who.id}-f", "completed", desk.subject, first[:10], coded("v3-RoleCode", *relative),
            raw([{"code": concept("SNOMED", *runs)}]),
        )  # fmt: skip
