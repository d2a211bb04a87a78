"""Notes made up here, with people who do not exist."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from residency.deid.day_forms import Clock, find_dates, rewrite
from residency.deid.handling import NotesRules
from residency.deid.known import Known, known_of, one_apart
from residency.deid.leaks import own_left
from residency.deid.scrubber import Search, find_spans, replace
from residency.deid.spans import Note, Span
from residency.deid.surrogates import Surrogates

PHILIPPA = known_of(
    [
        ("name", "Philippa Zoë Ravenscroft-Öhman"),
        ("address", "12 Larkspur Lane, Cambridge, MA 02139"),
        ("telephone", "+1 617-555-0134"),
        ("email", "p.ravenscroft@example.net"),
        ("number", "MRN7712345"),
        ("date_of_birth", "1951-03-04"),
    ]
)
NOTED = Clock(date(2021, 3, 14))


def found(text: str, known: Known = PHILIPPA, search: Search | None = None) -> list[str]:
    return [text[one.start : one.end] for one in find_spans(text, known, NOTED, search)]


def scrubbed(text: str, known: Known = PHILIPPA, rules: NotesRules | None = None, weeks: int = -7) -> str:
    rules = rules or NotesRules()
    surrogates = Surrogates(b"s" * 32, known, rules, timedelta(weeks=weeks), timedelta(0))
    return replace(text, find_spans(text, known, NOTED), surrogates).text


@pytest.mark.parametrize(
    "text",
    [
        "Pt is Philippa Ravenscroft-Öhman, well known to us.",
        "RAVENSCROFT-OHMAN, PHILIPPA was seen.",
        "ravenscroft called again about her knee.",
        "Ms. Ravenscroft's knee hurts; P. Ravenscroft agrees.",
        "Phillippa feels fine; Ravenscrof and Ravenscrotf too.",
        "Zoe Ravenscroft Ohman says so.",
        "Lives at 12 larkspur ln., on Larkspur Lane in Cambridge.",
        "Call (617) 555-0134 or 6175550134 or 617.555.0134.",
        "MRN 77-12345, also mrn7712345, record 7712345.",
        "Born 03/04/1951, i.e. March 4th, 1951 or 1951-03-04 or 4 Mar 1951.",
        "Write to P.Ravenscroft@example.net.",
        "ZIP 02139.",
    ],
)
def test_no_spelling_of_what_is_known_of_a_patient_stays(text: str) -> None:
    after = scrubbed(text)
    words = [
        "ravenscro",
        "philip",
        "phillip",
        "ohman",
        "öhman",
        "larkspur",
        "cambridge",
        "5550134",
        "7712345",
        "02139",
    ]
    bare = re.sub(r"[\s().-]", "", after.lower())
    assert not [word for word in words if word in bare]
    assert "1951" not in after or not re.search(r"0?3/0?4/1951|March 4|1951-03-04|4 Mar", after)
    assert not own_left(after, PHILIPPA)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Grace Parkinson", "Tremor, likely Parkinson's disease."),
        ("Tom Baker", "Ruptured Baker cyst, popliteal."),
        ("Ann Graves", "History of Graves disease and Graves' ophthalmopathy."),
        ("May Young", "May repeat in a young woman. The young may wait."),
        ("Bill White", "White blood cells 7.2. White count fell."),
        ("Carl Foley", "Foley catheter removed."),
    ],
)
def test_a_disease_or_a_word_is_no_name_though_the_patient_bears_it(name: str, kept: str) -> None:
    known = known_of([("name", name)])
    assert scrubbed(kept, known) == kept


@pytest.mark.parametrize(
    "name", ["Grace Parkinson", "Tom Baker", "May Young", "Bill White", "Carl Foley", "Li Wu"]
)
def test_a_patient_with_such_a_name_loses_it_where_it_is_theirs(name: str) -> None:
    given_, family = name.split()
    known = known_of([("name", name)])
    title = "Mrs." if given_ in ("Grace", "May") else "Mr."
    text = (
        f"{title} {family} came. {name} left; {family}, {given_} was told. Plan for {given_} {family}: rest."
    )
    assert family not in scrubbed(text, known)
    assert given_ not in scrubbed(text, known)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Seen by Dr. John O'Neill, MD.", ["John O'Neill"]),
        ("Electronically signed by: Sarah K. White, RN", ["Sarah K. White"]),
        ("Attending: Nakamura, Kenji", ["Nakamura, Kenji"]),
        ("Her daughter Grace Long called.", ["Grace Long"]),
        ("Transferred from Mercy General Hospital.", ["Mercy General Hospital"]),
        ("SSN 123-45-6789, account #: 99812-3344", ["123-45-6789", "99812-3344"]),
        ("Fax 415-555-9876 ext. 22", ["415-555-9876 ext. 22"]),
        (
            "Host 10.20.30.40 logged https://portal.example.org/x?id=1.",
            ["10.20.30.40", "https://portal.example.org/x?id=1"],
        ),
        ("Pacemaker serial no. PJN4432199", ["PJN4432199"]),
        ("A 94-year-old man; aged 91; she is 97 y/o.", ["94", "91", "97"]),
        ("Seen at Thanksgiving.", ["Thanksgiving"]),
        ("VIN 1HGCM82633A004352", ["1HGCM82633A004352"]),
        (
            "Lives at 4410 SW Maple Grove Ave., Portland, OR 97201",
            ["4410 SW Maple Grove Ave", "Portland", "97201"],
        ),
        ("Klinikum Südhafen", ["Klinikum Südhafen"]),
        ("Telefon 040 55509093", ["040 55509093"]),
    ],
)
def test_what_names_somebody_is_found_by_rule(text: str, spans: list[str]) -> None:
    assert found(text, Known()) == spans


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, HR 72, T 98.6, SpO2 97%, RR 16.",
        "A 23-year-old woman, 3 weeks of pain 7/10, strength 5/5, 2/6 murmur, acuity 20/40.",
        "Metoprolol 25 mg BID; vitamin D 1000IU; may take 2 tablets in 4 h.",
        "Hodgkin lymphoma, Bell's palsy, Down syndrome, Murphy's sign, Babinski absent.",
        "ICD-10 E11.9, LOINC 2160-0, SNOMED 44054006, rs4244285.",
        "Hgb 13.5 g/dL, creatinine 1.20 mg/dL, eGFR 62 mL/min/1.73 m2, WBC 10854.",
        "Past Medical History: Hypertension. Assessment and Plan: continue Lisinopril.",
        "Seen in the Emergency Department, then Cardiology Clinic follow-up in 3 months.",
        "Ejection fraction 55-60%. L4-L5 disc. T2-weighted. Grade 3/6.",
        "Framingham risk low; Apgar 8 and 9; Glasgow Coma Scale 15.",
    ],
)
def test_medicine_is_left_alone(text: str) -> None:
    assert found(text, Known()) == []


DAYS = st.dates(date(1950, 1, 1), date(2030, 1, 1))
FORMS = ["%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d-%b-%Y", "%d.%m.%Y", "%Y%m%d"]


@given(day=DAYS, form=st.sampled_from(FORMS), weeks=st.integers(-52, 52))
def test_a_date_moves_by_whole_weeks_and_keeps_its_form(day: date, form: str, weeks: int) -> None:
    text = f"Seen on {day.strftime(form)} here."
    (span,) = find_dates(Note(text), Clock())
    later = day + timedelta(weeks=weeks)
    assume(
        "%b" not in form or 5 not in (day.month, later.month)
    )  # "May" is a month's name and its short form
    moved = rewrite(text, span, 7 * weeks)
    shown = re.sub(r"\b0(\d)", r"\1", moved)
    assert shown == re.sub(r"\b0(\d)", r"\1", later.strftime(form))


def test_a_day_without_a_year_is_read_by_the_day_of_the_note() -> None:
    assert "12/20" in scrubbed("Fell on 1/10.", weeks=-3)
    assert scrubbed("Last seen March 14.", weeks=1) == "Last seen March 21."
    assert scrubbed("Worse since February.", weeks=5) == "Worse since March."
    assert scrubbed("On the 10th: better, on the 12th worse.", weeks=0).count("th") >= 1


def test_under_safe_harbor_no_more_than_the_year_of_a_date_stays() -> None:
    text = scrubbed("Seen 03/14/2021, again May 5th, 2021.", rules=NotesRules(dates="year"))
    assert text == "Seen 2021, again 2021."


def test_the_birth_date_moves_with_the_birth() -> None:
    surrogates = Surrogates(b"s" * 32, PHILIPPA, NotesRules(), timedelta(weeks=1), timedelta(weeks=522))
    text = "DOB 03/04/1951, seen 03/04/2021."
    after = replace(text, find_spans(text, PHILIPPA, NOTED), surrogates).text
    assert after == "DOB 03/12/1961, seen 03/11/2021."


def test_a_mention_has_one_surrogate_in_a_patient_s_notes_and_another_in_another_s() -> None:
    text = "Dr. Kenji Nakamura wrote. Nakamura agreed; NAKAMURA signed."
    once = scrubbed(text, Known())
    name = re.search(r"Dr\. (\w+) (\w+) wrote\. (\w+) agreed; (\w+) signed", once)
    assert name
    assert name[2] == name[3] == name[4].capitalize()
    other = Surrogates(b"t" * 32, Known(), NotesRules(), timedelta(0), timedelta(0))
    assert replace(text, find_spans(text, Known()), other).text != once


def test_numbers_keep_their_form() -> None:
    after = scrubbed("Call (415) 555-9876, MRN AB-998877.", Known())
    assert re.fullmatch(r"Call \(\d{3}\) \d{3}-\d{4}, MRN [A-Z]{2}-\d{6}\.", after)
    assert "9876" not in after


def test_names_of_one_s_own_houses_are_taken_wherever_they_stand() -> None:
    assert found("sent to riverside and back", Known(), Search(organisations=("Riverside",))) == ["riverside"]


@given(st.text("abcdefgh", min_size=6, max_size=9), st.integers(0, 8), st.sampled_from("abcdefghz"))
def test_one_letter_apart_is_what_an_edit_makes(word: str, at: int, letter: str) -> None:
    at = at % len(word)
    for edited in (
        word[:at] + letter + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + word[at + 1 :],
    ):
        assert one_apart(edited, word) == (edited != word)


def test_the_leak_scan_finds_what_a_scrubber_would_leave() -> None:
    assert own_left("seen with Ravenscroft today", PHILIPPA)
    assert own_left("call 617 555 0134", PHILIPPA)
    assert own_left("p.ravenscroft@example.net", PHILIPPA)
    assert not own_left("the patient is well, BP 120/80 on 2021", PHILIPPA)


@pytest.mark.parametrize(
    "name", ["April O'Brien", "May D'Souza", "April O\u2019Brien", "April Johnson", "April de la Cruz"]
)
def test_a_name_that_begins_as_a_month_is_taken_whole_and_a_month_is_none(name: str) -> None:
    text = f"Emergency contact: sister {name}, seen in April. Oxygen 2 l."
    found = [text[one.start : one.end] for one in find_spans(text, Known()) if one.kind == "NAME"]
    assert found == [name]


def test_a_classifier_is_asked_of_lines_with_doubtful_words_alone_and_its_finds_land_in_their_place() -> None:
    asked: list[str] = []

    def classifier(text: str) -> list[Span]:
        asked.append(text)
        return [Span(*hit.span(), "NAME", "classifier") for hit in re.finditer("Zwyxo|Qvarbi|cough", text)]

    text = "Cough for a week.\nSaw Zwyxo there.\nNo fever, no cough.\nQvarbi agrees, so does Zwyxo"
    found = find_spans(text, Known(), search=Search(classifier=classifier))
    assert asked == ["Saw Zwyxo there.\nQvarbi agrees, so does Zwyxo"]
    assert [text[one.start : one.end] for one in found] == ["Zwyxo", "Qvarbi", "Zwyxo"]
    assert find_spans("Cough for a week.", Known(), search=Search(classifier=classifier)) == []
    assert len(asked) == 1
