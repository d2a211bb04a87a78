"""In: people with their charts. Out: the hidden course is seen in what is measured, coded and ordered."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from residency.simulation.contacts import OFFICE, STAY, Contacts, Person, contacts, person
from residency.simulation.course import course
from residency.simulation.diagnoses import Diagnosed, condition_index, diagnose
from residency.simulation.latent import doubling_days, nodule_mm, severity
from residency.simulation.measurements import Measured, measure, sheet
from residency.simulation.medicine import hospital
from residency.simulation.people import chart_rng, people
from residency.simulation.pharmacogenes import warfarin_need_mg
from residency.simulation.selection import image_chance, noted, sequenced, sequencing_chance
from residency.simulation.spec import HospitalSpec, Variant
from residency.simulation.treatments import Treated, treat

DISEASES = [one.name for one in hospital().disease]
TREATMENTS = [one.name for one in hospital().treatment]
SEPSIS, LUNG, FIBRILLATION = (DISEASES.index(n) for n in ("sepsis", "lung_cancer", "atrial_fibrillation"))
WARFARIN = TREATMENTS.index("warfarin")


@dataclass(frozen=True)
class Chart:
    person: Person
    seen: Contacts
    diagnosed: Diagnosed
    treated: Treated
    measured: Measured


def charts(variant: Variant, n: int) -> list[Chart]:
    spec = HospitalSpec(n_patients=n, seed=6, variant=variant)
    group = people(spec, 0, n)
    lived = course(group, spec)
    found = []
    for row in range(n):
        one, rng = person(group, lived, row, variant), chart_rng(6, row)
        seen = contacts(one, rng)
        diagnosed = diagnose(one, seen, rng)
        treated = treat(one, seen, diagnosed, rng)
        found.append(Chart(one, seen, diagnosed, treated, measure(one, seen, rng)))
    return found


@pytest.fixture(scope="module")
def plain() -> list[Chart]:
    return charts("plain", 500)


def values(chart: Chart, code: str) -> tuple[np.ndarray, np.ndarray]:
    mine = chart.measured.lab == sheet().index[code]
    return chart.measured.day[mine], chart.measured.value[mine]


def septic(plain: list[Chart]) -> list[Chart]:
    found = [one for one in plain if 30 < one.person.diagnosis[SEPSIS] <= one.person.until]
    assert len(found) > 15
    return found


@pytest.mark.parametrize(
    ("code", "up"), [("8867-4", True), ("9279-1", True), ("8310-5", True), ("8480-6", False)]
)
def test_vital_signs_drift_for_hours_before_sepsis_is_recognised(
    plain: list[Chart], code: str, up: bool
) -> None:
    slopes = []
    for one in septic(plain):
        day, value = values(one, code)
        hours = (day - one.person.diagnosis[SEPSIS]) * 24
        late, early = value[(hours > -4) & (hours < 0)], value[hours < -48]
        if len(late) and len(early):
            slopes.append(np.mean(late) - np.mean(early))
    assert len(slopes) > 10
    assert (np.median(slopes) > 0) == up


def test_vital_signs_are_taken_every_hour_around_sepsis(plain: list[Chart]) -> None:
    for one in septic(plain):
        day, _ = values(one, "8867-4")
        hours = (day - one.person.diagnosis[SEPSIS]) * 24
        assert ((hours > -3) & (hours < 3)).sum() >= 2


def test_others_are_watched_every_hour_too(plain: list[Chart]) -> None:
    watched = sum(int((one.seen.watched > 0).sum()) for one in plain)
    struck = sum(
        int(((one.person.diagnosis[6:] > 0) & (one.person.diagnosis[6:] <= one.person.until)).sum())
        for one in plain
    )
    assert watched > 1.3 * struck


def test_sepsis_is_coded_within_a_stay_at_the_moment_of_the_truth(plain: list[Chart]) -> None:
    codes = {condition_index(code) for code in hospital().disease[SEPSIS].codes}
    for one in septic(plain):
        mine = np.isin(one.diagnosed.condition, list(codes))
        first = one.diagnosed.contact[mine].min()
        assert one.seen.day[first] == one.person.diagnosis[SEPSIS]
        assert one.seen.contact_kind[first] == STAY


def test_the_inr_follows_the_dose_and_the_genome(plain: list[Chart]) -> None:
    start, settled, need = [], [], []
    for one in plain:
        day, value = values(one, "6301-6")
        since = day - one.person.treated[WARFARIN]
        assert (value[since < 0] < 2.0).all()
        if ((since > 7) & (since < 20)).any() and (since > 200).any():
            need.append(warfarin_need_mg(one.person.count[None])[0])
            start.append(np.log(value[(since > 7) & (since < 20)]).mean())
            settled.append(np.log(value[since > 200]).mean())
    assert len(need) > 25
    assert np.corrcoef(start, np.log(need))[0, 1] < -0.5
    assert np.std(settled) < np.std(start)
    assert abs(np.median(settled) - np.log(2.5)) < 0.15


def test_doses_of_warfarin_move_towards_the_need(plain: list[Chart]) -> None:
    row = [one.code for one in hospital().drug].index(hospital().treatment[WARFARIN].drug)
    last, need = [], []
    for one in plain:
        mine = one.treated.ordered[:, 1] == row
        assert np.isfinite(one.treated.dose_mg[mine]).all()
        assert np.isnan(one.treated.dose_mg[~mine]).all()
        if mine.sum() > 3:
            last.append(one.treated.dose_mg[mine][-1])
            need.append(warfarin_need_mg(one.person.count[None])[0])
    assert np.corrcoef(last, need)[0, 1] > 0.8


def test_drugs_are_ordered_from_the_day_that_the_truth_says(plain: list[Chart]) -> None:
    drugs = [one.code for one in hospital().drug]
    seen = 0
    for one in plain:
        for t, question in enumerate(hospital().treatment):
            mine = one.treated.ordered[:, 1] == drugs.index(question.drug)
            days = one.seen.day[one.treated.ordered[mine, 0]]
            if len(days) and one.person.treated[t] > 1:
                assert days.min() == pytest.approx(one.person.treated[t], abs=1e-3)
                seen += 1
            assert (days >= one.person.treated[t] - 1e-3).all()
    assert seen > 40


def test_the_same_people_without_insurance_are_seen_measured_imaged_and_sequenced_less(
    plain: list[Chart],
) -> None:
    totals = {}
    for insured in (True, False):
        total = np.zeros(5)
        for chart in plain[:150]:
            one, rng = replace(chart.person, insured=insured), chart_rng(7, chart.person.number)
            seen = contacts(one, rng)
            results = len(measure(one, seen, rng).lab)
            images, notes = image_chance(one, seen).mean(), noted(one, seen).mean()
            total += [(seen.kind == OFFICE).sum(), results, images, notes, sequencing_chance(one)]
        totals[insured] = total
    assert (totals[False] < 0.9 * totals[True]).all()


def test_who_is_sequenced_is_drawn_once_for_all(plain: list[Chart]) -> None:
    one = [sequenced(chart.person, 6) for chart in plain]
    assert one == [sequenced(chart.person, 6) for chart in plain]
    assert 0.15 < np.mean(one) < 0.6


def test_a_tumour_grows_from_its_onset_until_it_is_found(plain: list[Chart]) -> None:
    ill = [one.person for one in plain if np.isfinite(one.person.onset[LUNG])]
    for one in ill:
        begun, found = one.onset[LUNG], one.diagnosis[LUNG]
        day = begun + np.array([-1.0, 0.0, 50.0, 50.0 + 3 * doubling_days(one)])
        size = nodule_mm(one, day)
        assert size[0] == 0
        assert size[1] > 0
        if found > day[3] and size[3] < 89:
            assert size[3] == pytest.approx(2 * size[2])
        if np.isfinite(found):
            assert np.ptp(nodule_mm(one, found + np.array([0.0, 10.0, 1000.0]))) == 0
    well = next(one.person for one in plain if not np.isfinite(one.person.onset[LUNG]))
    assert not nodule_mm(well, np.arange(10.0)).any()


@pytest.mark.parametrize("disease", DISEASES)
def test_severity_is_nothing_before_the_onset_and_falls_with_treatment(
    plain: list[Chart], disease: str
) -> None:
    one = DISEASES.index(disease)
    ill = [chart.person for chart in plain if np.isfinite(chart.person.diagnosis[one])]
    assert ill
    for person_ in ill:
        onset, found = person_.onset[one], person_.diagnosis[one]
        before, at, later = severity(person_, disease, np.array([onset - 1, found, found + 2000]))
        assert before == 0
        assert 0 <= later < at <= person_.pace[one]


def test_what_is_strange_is_kept_more_where_missingness_informs() -> None:
    told = {variant: charts(variant, 150) for variant in ("plain", "informative_missingness")}
    index = sheet().index["33762-6"]
    mean, number = {}, {}
    for variant, found in told.items():
        value = np.concatenate([one.measured.value[one.measured.lab == index] for one in found])
        mean[variant], number[variant] = np.log(value).mean(), sum(len(one.measured.lab) for one in found)
    assert number["informative_missingness"] < 0.8 * number["plain"]
    assert mean["informative_missingness"] > mean["plain"]
