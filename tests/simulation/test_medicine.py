import dataclasses

import numpy as np
import pytest

from residency.simulation.contacts import contacts, person
from residency.simulation.course import course
from residency.simulation.measurements import measure, sheet
from residency.simulation.medicine import Hospital, hospital
from residency.simulation.people import chart_rng, people
from residency.simulation.spec import HospitalSpec

SPEC = HospitalSpec(n_patients=400, seed=5)


def test_tables_name_only_what_they_hold() -> None:
    found = hospital()
    wrong = dataclasses.replace(found.disease[0], panels=("no such panel",))
    fields = {one.name: getattr(found, one.name) for one in dataclasses.fields(found)}
    with pytest.raises(ValueError, match="no such panel"):
        Hospital(**{**fields, "disease": (wrong, *found.disease[1:])})


def test_weights_of_a_disease_add_up() -> None:
    with pytest.raises(ValueError, match="adding up to 1"):
        dataclasses.replace(hospital().disease[0], weights=(0.5, 0.2, 0.1))


def test_codes_are_one_to_one_between_the_vocabularies() -> None:
    found = hospital().condition
    assert len({one.icd for one in found}) == len(found)
    assert len({one.snomed for one in found}) == len(found)


def test_outcomes_have_codes_of_both_vocabularies() -> None:
    for codes in hospital().outcomes.values():
        assert {code.partition("/")[0] for code in codes} == {"ICD10CM", "SNOMED"}


@pytest.mark.parametrize(
    ("disease", "lab", "up"),
    [(0, "4548-4", True), (1, "2160-0", True), (2, "33762-6", True), (3, "718-7", False)],
)
def test_values_drift_in_the_year_before_a_diagnosis(disease: int, lab: str, up: bool) -> None:
    group = people(SPEC, 0, SPEC.n_patients)
    hidden = course(group, SPEC)
    index = sheet().index[lab]
    early: list[float] = []
    late: list[float] = []
    for row in np.flatnonzero(
        np.isfinite(hidden.diagnosis[:, disease]) & (hidden.diagnosis[:, disease] > 400)
    ):
        one = person(group, hidden, int(row))
        measured = measure(one, contacts(one, chart_rng(0, one.number)), chart_rng(1, one.number))
        mine = measured.lab == index
        before = measured.day[mine] - one.diagnosis[disease]
        values = measured.value[mine]
        early += values[measured.day[mine] < one.onset[disease]].tolist()
        late += values[(before > -365) & (before < 0) & (measured.day[mine] > one.onset[disease])].tolist()
    assert len(late) > 15
    assert (np.median(late) > np.median(early)) == up


def test_the_ill_are_seen_more_often_before_their_diagnosis() -> None:
    group = people(SPEC, 0, SPEC.n_patients)
    hidden = course(group, SPEC)
    days = {True: 0.0, False: 0.0}
    seen = {True: 0, False: 0}
    for row in range(len(group)):
        one = person(group, hidden, row)
        grid = np.arange(5.0, one.until, 10.0)
        visits = contacts(one, chart_rng(2, one.number)).start
        well = ~one.known(grid).any(axis=1)
        for ill in (True, False):
            state = well & (one.hidden(grid).any(axis=1) == ill)
            days[ill] += 10.0 * state.sum()
            near = np.clip(np.searchsorted(grid, visits), 0, max(len(grid) - 1, 0))
            seen[ill] += int(state[near].sum()) if len(grid) else 0
    assert seen[True] / days[True] > 1.15 * seen[False] / days[False]
