import numpy as np
import pytest

from residency.simulation.chances import RECORDS, stream
from residency.simulation.charting import draw_chart
from residency.simulation.contacts import person
from residency.simulation.course import course
from residency.simulation.findings import findings
from residency.simulation.medicine import hospital
from residency.simulation.notes import Note, notes
from residency.simulation.people import chart_rng, people
from residency.simulation.spec import HospitalSpec
from residency.simulation.studies import Study, studies
from residency.simulation.wording import Choices, Claim, Word, Writing

SPEC = HospitalSpec(n_patients=260, seed=9)
NAMES = [one.name for one in hospital().disease]


@pytest.fixture(scope="module")
def written() -> list[tuple[np.ndarray, np.ndarray, list[Study], list[Note]]]:
    """Give onsets, diagnoses, studies and notes of some people."""
    group = people(SPEC, 0, SPEC.n_patients)
    hidden = course(group, SPEC)
    found = []
    for row in range(SPEC.n_patients):
        one = person(group, hidden, row, SPEC.variant)
        extra = stream(SPEC.seed, one.number, RECORDS)
        chart = draw_chart(one, chart_rng(SPEC.seed, one.number), african=one.african, extra=extra)
        made = studies(chart, SPEC)
        found.append((one.onset, one.diagnosis, made, notes(chart, made, None, SPEC)))
    return found


@pytest.mark.parametrize(
    ("disease", "concept"),
    [("heart_failure", "breathlessness"), ("lung_cancer", "weight loss"), ("type_2_diabetes", "thirst")],
)
def test_hidden_illness_is_in_the_notes_before_its_diagnosis(
    written: list[tuple[np.ndarray, np.ndarray, list[Study], list[Note]]], disease: str, concept: str
) -> None:
    at, n, told = NAMES.index(disease), {True: 0, False: 0}, {True: 0, False: 0}
    for onset, diagnosis, _, some in written:
        for note in some:
            if note.kind != "imaging" and note.day < diagnosis[at]:
                ill = bool(note.day > onset[at])
                n[ill] += 1
                told[ill] += any(
                    f.concept == concept and not f.negated and not f.historical for f in note.facts
                )
    assert n[True] >= 15
    assert told[True] / n[True] > 1.5 * told[False] / n[False]


def test_a_report_says_what_the_image_shows(
    written: list[tuple[np.ndarray, np.ndarray, list[Study], list[Note]]],
) -> None:
    large = seen = 0
    for _, _, made, some in written:
        for note in some:
            if note.kind == "imaging":
                claims = {fact.concept: fact for fact in note.facts}
                chest = made[note.study].chest
                if chest.ratio > 0.56:
                    large += 1
                    assert not claims["cardiomegaly"].negated
                if chest.ratio < 0.47:
                    assert claims["cardiomegaly"].negated
                if made[note.study].modality == "CT":
                    any_nodule = max(chest.benign_mm, chest.tumour_mm) >= 4
                    seen += any_nodule
                    assert any_nodule != ("lung_nodule" in claims and claims["lung_nodule"].negated)
    assert large > 3
    assert seen > 10


def test_marks_are_where_the_words_are() -> None:
    writing = Writing({"name": Word("Ada Long", "name"), "sex": Word("woman")})
    writing.say("Seen: {name}, a {sex}. ")
    writing.say("No cough", Claim("cough", negated=True))
    writing.paste(" {braces}")
    (span,), (fact,) = writing.spans, writing.facts
    assert writing.text == "Seen: Ada Long, a woman. No cough {braces}"
    assert writing.text[span.start : span.end] == "Ada Long"
    assert writing.text[fact.start : fact.end] == "No cough"


def test_an_impression_is_never_empty(
    written: list[tuple[np.ndarray, np.ndarray, list[Study], list[Note]]],
) -> None:
    for _, _, made, _ in written:
        for study in made:
            assert all(findings(study, Choices(np.random.default_rng(0))).impression)
