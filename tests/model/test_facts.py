"""What sentences of notes say of symptoms and diseases: hard sentences, written for this test."""

import pytest

from residency.model.encoders.facts import STATUSES, TURNS, Fact, rules
from residency.model.encoders.sentences import Sentence, sentences_of

N, H, O, P = "negated", "historical", "other", "possible"  # noqa: E741 - short, for the table

HARD: list[tuple[str, str, set[str]]] = [
    # plain
    ("He has had chest pain since Tuesday.", "chest_pain", set()),
    ("Known type 2 diabetes, on metformin.", "diabetes", set()),
    ("CHF exacerbation with leg swelling.", "oedema", set()),
    # reach of a denial
    ("Denies chest pain, dyspnea, palpitations or syncope.", "chest_pain", {N}),
    ("Denies chest pain, dyspnea, palpitations or syncope.", "syncope", {N}),
    ("No fever, chills, night sweats, weight loss, nausea, vomiting or rash.", "rash", {N}),
    ("No fever but a productive cough.", "fever", {N}),
    ("No fever but a cough.", "cough", set()),
    ("No fever but a productive cough.", "sputum", set()),
    ("Denies fever; reports cough.", "cough", set()),
    ("Denies headache, complains of dizziness.", "dizziness", set()),
    ("Denies headache, complains of dizziness.", "headache", {N}),
    ("There is no edema, however crackles are heard at both bases.", "crackles", set()),
    ("Without nausea or vomiting.", "vomiting", {N}),
    ("Negative for pneumonia, positive for influenza with wheezing.", "wheeze", set()),
    ("Negative for pneumonia, positive for influenza with wheezing.", "pneumonia", {N}),
    ("No symptoms except for mild headache.", "headache", set()),
    ("No chest pain aside from the known angina.", "coronary_disease", set()),
    ("Neither cough nor fever.", "fever", {N}),
    ("The patient does not have heart failure.", "heart_failure", {N}),
    ("She never had a stroke.", "stroke", {N}),
    ("Lungs clear, no wheezing, no crackles.", "crackles", {N}),
    ("Free of seizures since 2015.", "seizure", {N}),
    ("No evidence of metastases.", "cancer", {N}),
    ("No pneumothorax or pleural effusion; cardiomegaly is stable.", "pleural_effusion", {N}),
    ("No pneumothorax or pleural effusion; cardiomegaly is stable.", "cardiomegaly", set()),
    # a denial that stands behind
    ("Chest pain: denied.", "chest_pain", {N}),
    ("Fever: none.", "fever", {N}),
    ("Myocardial infarction was ruled out.", "myocardial_infarction", {N}),
    ("Jaundice is absent.", "jaundice", {N}),
    ("Pulmonary embolism has been ruled out, pneumonia is being treated.", "pneumonia", set()),
    ("Pulmonary embolism has been ruled out, pneumonia is being treated.", "thromboembolism", {N}),
    ("A fracture was not seen.", "fracture", {N}),
    # no longer, resolved
    ("He no longer has chest pain.", "chest_pain", {N, H}),
    ("She is no longer wheezing.", "wheeze", {N, H}),
    ("The cough has resolved.", "cough", {N, H}),
    ("Cough has not resolved.", "cough", set()),
    # looks like a denial, and is none
    ("No increase in shortness of breath.", "dyspnoea", set()),
    ("No change in her chronic cough.", "cough", set()),
    ("No improvement in back pain on ibuprofen.", "back_pain", set()),
    ("Not only fever but also rigors.", "fever", set()),
    ("Not only fever but also rigors.", "chills", set()),
    ("Gram-negative sepsis.", "sepsis", set()),
    ("There is no doubt that this is gout.", "gout", set()),
    ("Hypertension is not well controlled.", "hypertension", set()),
    ("Headache not relieved by paracetamol.", "headache", set()),
    ("No significant change in pleural effusion.", "pleural_effusion", set()),
    # twice denied
    ("Not without chest pain on exertion.", "chest_pain", set()),
    ("He does not deny chest pain.", "chest_pain", set()),
    ("She cannot deny heavy alcohol use.", "alcohol", set()),
    ("She is not free of seizures.", "seizure", set()),
    ("Denies absence of cough.", "cough", set()),
    # cannot tell
    ("Cannot rule out pulmonary embolism.", "thromboembolism", {P}),
    ("Pneumonia cannot be excluded.", "pneumonia", {P}),
    ("Sepsis has not been ruled out.", "sepsis", {P}),
    ("R/o MI.", "myocardial_infarction", {P}),
    ("Possible urinary tract infection.", "urinary_infection", {P}),
    ("Stroke is unlikely.", "stroke", {P}),
    ("Return if fever or chest pain.", "fever", {P}),
    ("Heparin for DVT; monitor for bleeding.", "bleeding", {P}),
    ("Heparin for DVT; monitor for bleeding.", "thromboembolism", set()),
    # past
    ("H/o MI in 2012, now with dyspnea.", "myocardial_infarction", {H}),
    ("H/o MI in 2012, now with dyspnea.", "dyspnoea", set()),
    ("History of hypertension, diabetes and stroke.", "stroke", {H}),
    ("Pneumonia two years ago.", "pneumonia", {H}),
    ("Asthma as a child.", "asthma", {H}),
    ("S/p stroke with residual weakness.", "stroke", {H}),
    ("Prior DVT, presents with leg swelling.", "oedema", set()),
    ("Prior DVT, presents with leg swelling.", "thromboembolism", {H}),
    ("He used to have migraines and headaches.", "headache", {H}),
    ("Past medical history: COPD, CKD, gout.", "gout", {H}),
    ("No history of seizures.", "seizure", {N}),
    ("History of present illness: three days of cough.", "cough", set()),
    # lists carried on from older notes
    ("Copied from previous note: anemia, gout, depression.", "depression", {H}),
    ("Problem list carried forward: COPD, atrial fibrillation, falls.", "atrial_fibrillation", {H}),
    # somebody else
    ("Father had MI at 50.", "myocardial_infarction", {O}),
    ("Her mother died of breast cancer.", "cancer", {O}),
    ("Family history of diabetes and hypertension.", "hypertension", {O}),
    ("There is diabetes in her father.", "diabetes", {O}),
    ("Alcoholism runs in the family.", "alcohol", {O}),
    ("No family history of colon cancer.", "cancer", {N, O}),
    ("Father had angina; patient denies chest pain.", "chest_pain", {N}),
    ("Mother with dementia, she has depression.", "depression", set()),
    ("Mother with dementia, she has depression.", "dementia", {O}),
    ("His wife has a cough and he has a fever.", "fever", set()),
    ("Seen by the family physician for gout.", "gout", set()),
]


def facts_of(text: str, concept: str) -> list[Fact]:
    found = [fact for sentence in sentences_of(text, rules().headings) for fact in rules().facts(sentence)]
    return [fact for fact in found if fact.concept == concept]


@pytest.mark.parametrize(("text", "concept", "turned"), HARD)
def test_a_hard_sentence_is_read_as_a_clinician_would(text: str, concept: str, turned: set[str]) -> None:
    (fact,) = facts_of(text, concept)
    assert set(fact.turned) == turned


def test_there_are_enough_hard_sentences_of_every_sort() -> None:
    assert len({text for text, _, _ in HARD}) >= 60
    assert set.union(*(turned for _, _, turned in HARD)) == set(TURNS)


def test_a_heading_holds_for_all_its_lines() -> None:
    text = (
        "FAMILY HISTORY\n- diabetes\n- stroke\nHPI: cough\nfor two days, no fever\nPMH:\nasthma\nA/P:\ngout"
    )
    found = {
        fact.concept: set(fact.turned)
        for sentence in sentences_of(text, rules().headings)
        for fact in rules().facts(sentence)
    }
    assert found == {
        "diabetes": {O}, "stroke": {O}, "cough": set(), "fever": {N}, "asthma": {H}, "gout": set(),
    }  # fmt: skip


def test_sentences_end_where_a_reader_would_end_them() -> None:
    first = "Seen by Dr. Miller at 9 a.m. today. BP 140/85, K 4.1. Plan:"
    text = f"{first}\n1. Stop e.g. ibuprofen\n2) Recheck\nin a week."
    assert [one.text for one in sentences_of(text, frozenset())] == [
        "Seen by Dr. Miller at 9 a.m. today.",
        "BP 140/85, K 4.1.",
        "Plan:",
        "Stop e.g. ibuprofen",
        "Recheck in a week.",
    ]


def test_each_fact_points_at_its_words() -> None:
    text = "No shortness  of breath and no DVTs."
    (sentence,) = sentences_of(text, frozenset())
    facts = rules().facts(sentence)
    assert [sentence.text[fact.start : fact.end] for fact in facts] == ["shortness of breath", "DVTs"]


def test_one_status_is_kept_of_a_fact() -> None:
    status = lambda *turned: Fact("x", 0, 1, frozenset(turned)).status  # noqa: E731
    assert [status(), status(N, H), status(H), status(O), status(P)] == [
        "present",
        "negated",
        "historical",
        "other",
        "possible",
    ]
    assert status(N, O) is None
    assert len(rules().places) == len(STATUSES) * len(set(rules().concepts.values()))


def test_a_note_without_facts_has_none() -> None:
    assert rules().facts(Sentence("Thank you for your referral.", "")) == []
