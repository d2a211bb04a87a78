import pint
import pytest

from residency.records.spool import NO_VALUE
from residency.records.units import Signal, canonical, conversion, readings


@pytest.mark.parametrize(
    ("code", "value", "unit", "wanted", "expected"),
    [
        ("LOINC/2345-7", 100.0, "mg/dL", "mmol/L", 5.551),
        ("LOINC/2345-7", 5.551, "mmol/L", "mg/dL", 100.0),
        ("LOINC/2160-0", 1.0, "mg/dL", "umol/L", 88.4),
        ("LOINC/2093-3", 200.0, "mg/dL", "mmol/L", 5.17),
        ("LOINC/2571-8", 150.0, "mg/dL", "mmol/L", 1.694),
        ("LOINC/3094-0", 14.0, "mg/dL", "mmol/L", 5.0),
        ("LOINC/1975-2", 1.0, "mg/dL", "umol/L", 17.1),
        ("LOINC/17861-6", 10.0, "mg/dL", "mmol/L", 2.495),
        ("LOINC/17861-6", 5.0, "meq/L", "mmol/L", 2.5),
        ("LOINC/17861-6", 5.0, "meq/L", "mg/dL", 10.02),
        ("LOINC/2951-2", 140.0, "meq/L", "mmol/L", 140.0),
        ("LOINC/4548-4", 7.0, "%", "mmol/mol", 53.0),
        ("LOINC/4548-4", 53.0, "mmol/mol", "%", 7.0),
        ("LOINC/8310-5", 98.6, "[degF]", "Cel", 37.0),
        ("LOINC/8310-5", 37.0, "Cel", "[degF]", 98.6),
        ("LOINC/29463-7", 220.0, "[lb_av]", "kg", 99.79),
        ("LOINC/6690-2", 7.0, "10*9/L", "10*3/uL", 7.0),
        ("LOINC/33914-3", 60.0, "mL/min/{1.73_m2}", "mL/min", 60.0),
        ("LOINC/3150-6", 0.4, "1", "%", 40.0),
    ],
)
def test_a_unit_becomes_another_as_the_textbook_says(
    code: str, value: float, unit: str, wanted: str, expected: float
) -> None:
    found = conversion(code, unit, wanted)
    assert found is not None
    assert value * found[0] + found[1] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("code", "unit", "wanted"),
    [
        ("LOINC/2345-7", "mg/dL", "mm[Hg]"),
        ("LOINC/0000-0", "mg/dL", "mmol/L"),  # which substance?
        ("LOINC/0000-0", "meq/L", "mmol/L"),  # which charge?
        ("LOINC/2345-7", "mg/dL", "no such unit"),
        ("LOINC/1920-8", "[IU]/L", "U/L"),
    ],
)
def test_what_cannot_be_converted_is_not_guessed(code: str, unit: str, wanted: str) -> None:
    assert conversion(code, unit, wanted) is None


@pytest.mark.parametrize(
    ("one", "other"), [("mg/dL", "g/L"), ("mm[Hg]", "kPa"), ("h", "d"), ("[in_i]", "cm")]
)
def test_plain_conversions_agree_with_pint_itself(one: str, other: str) -> None:
    names = {"mm[Hg]": "mmHg", "[in_i]": "inch", "h": "hour", "d": "day"}
    expected = pint.Quantity(1.0, names.get(one, one)).to(names.get(other, other)).magnitude
    found = conversion("LOCAL/x", one, other)
    assert found is not None
    assert found[0] == pytest.approx(expected, rel=1e-6)
    assert found[1] == 0


def test_the_most_frequent_unit_of_a_code_wins_unless_the_mapping_names_another() -> None:
    seen = {Signal("LOINC/2345-7", "mg/dL"): 10, Signal("LOINC/2345-7", "mmol/L"): 3}
    usual, named = readings(seen, {}), readings(seen, {"LOINC/2345-7": "mmol/L"})
    assert {reading.unit for reading in usual.values()} == {"mg/dL"}
    assert {reading.unit for reading in named.values()} == {"mmol/L"}
    assert usual[Signal("LOINC/2345-7", "mmol/L")].factor == pytest.approx(18.0156)


def test_spellings_of_one_unit_are_one_unit() -> None:
    seen = {Signal("LOINC/6690-2", "K/uL"): 2, Signal("LOINC/6690-2", "10*3/uL"): 1}
    assert {(r.unit, r.factor, r.code) for r in readings(seen, {}).values()} == {
        ("10*3/uL", 1.0, "LOINC/6690-2")
    }
    assert canonical(" mmHg ") == "mm[Hg]"


def test_an_unconvertible_unit_is_kept_apart_under_its_code() -> None:
    seen = {
        Signal("LOINC/2345-7", "mg/dL"): 9,
        Signal("LOINC/2345-7", "mm[Hg]"): 1,
        Signal("LOINC/2345-7", None): 1,
    }
    found = readings(seen, {})
    assert found[Signal("LOINC/2345-7", "mm[Hg]")].code == "LOINC/2345-7//unit=mm[Hg]"
    assert found[Signal("LOINC/2345-7", None)].code == "LOINC/2345-7//unit=none"


def test_rows_without_a_number_need_no_unit() -> None:
    seen = {Signal("LOINC/2345-7", "mg/dL"): 9, Signal("LOINC/2345-7", NO_VALUE): 5}
    assert readings(seen, {})[Signal("LOINC/2345-7", NO_VALUE)].code == "LOINC/2345-7"


def test_a_note_in_the_place_of_a_unit_is_not_repeated_in_a_code() -> None:
    note = "see the letter of Mrs Miller"
    found = readings({Signal("LOINC/2345-7", "mg/dL"): 2, Signal("LOINC/2345-7", note): 1}, {})
    assert found[Signal("LOINC/2345-7", note)].code == "LOINC/2345-7//unit=other"
