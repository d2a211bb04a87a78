from typing import Any

import numpy as np
import pytest

from residency.contract.errors import SpecError
from residency.reasoning import Index
from residency.validation.clinical import (
    Age,
    Band,
    ClinicalScore,
    Part,
    clinical_score,
    clinical_scores,
    points,
)

YEARS_50 = -50 * 365.25


def counted(ward: Any, rows: list, score: ClinicalScore, at: float) -> int:
    packed = ward.packed(rows)
    index = Index(np.zeros(1, np.int64), np.array([ward.microseconds(at)]))
    return int(points(packed, ward.codes, index, score)[0])


def test_a_code_counts_once_and_only_once_it_is_known(ward: Any) -> None:
    score = ClinicalScore("s", "", (Part(codes=("ICD10CM/N18",), points=2),))
    rows = [
        (1, None, "DEMOGRAPHIC/SEX=male", None),
        (1, 10, "ICD10CM/N18.3", None),
        (1, 20, "ICD10CM/N18", None),
    ]
    assert [counted(ward, rows, score, at) for at in (5, 10, 30)] == [0, 2, 2]


def test_an_age_counts_the_last_points_that_it_has_reached(ward: Any) -> None:
    score = ClinicalScore("s", "", (Part(ages=(Age(40, 1), Age(50, 3))),))
    for born, expected in ((-39 * 365.25, 0), (-45 * 365.25, 1), (-51 * 365.25, 3)):
        rows = [(1, born, "MEDS_BIRTH", None), (1, 0, "VISIT/AMB", None)]
        assert counted(ward, rows, score, 1) == expected


def test_the_last_value_counts_within_its_hours_and_an_old_one_does_not(ward: Any) -> None:
    part = Part(value=("LOINC/2160-0",), within_hours=24, bands=(Band(0, 1.2), Band(1, 2.0), Band(3)))
    score = ClinicalScore("s", "", (part,))
    rows = [(1, YEARS_50, "MEDS_BIRTH", None), (1, 0, "LOINC/2160-0", 5.0), (1, 3, "LOINC/2160-0", 1.5)]
    assert [counted(ward, rows, score, at) for at in (0.5, 2, 3.5, 9)] == [3, 0, 1, 0]


def test_another_patients_records_count_nothing(ward: Any) -> None:
    part = Part(value=("LOINC/2160-0",), within_hours=1e6, bands=(Band(1),))
    score = ClinicalScore("s", "", (part, Part(codes=("ICD10CM/N18",), points=5)))
    rows = [
        (1, 0, "LOINC/2160-0", 5.0), (1, 1, "ICD10CM/N18", None),
        (2, 2, "VISIT/AMB", None), (3, 0, "ICD10CM/N18", None),
    ]  # fmt: skip
    packed = ward.packed(rows)
    index = Index(np.arange(3), np.full(3, ward.microseconds(50)))
    assert points(packed, ward.codes, index, score).tolist() == [6, 0, 5]


CHART = [  # Royal College of Physicians 2017, chart 1, scale 1: up to this, so many points; else the last
    ([8, 11, 20, 24], [3, 1, 0, 2, 3]),
    ([91, 93, 95], [3, 2, 1, 0]),
    ([90, 100, 110, 219], [3, 2, 1, 0, 3]),
    ([40, 50, 90, 110, 130], [3, 1, 0, 1, 2, 3]),
    ([35.0, 36.0, 38.0, 39.0], [3, 1, 0, 1, 2]),
]


@pytest.mark.parametrize("seed", range(20))
def test_news2_agrees_with_its_chart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = {
        "LOINC/9279-1": int(rng.integers(5, 30)),
        "LOINC/59408-5": int(rng.integers(85, 100)),
        "LOINC/8480-6": int(rng.integers(70, 230)),
        "LOINC/8867-4": int(rng.integers(30, 150)),
        "LOINC/8310-5": round(float(rng.uniform(34, 41)), 1),
    }
    total = 0
    for part in clinical_score("news2").parts:
        if part.value[0] in given:
            total += next(band.points for band in part.bands if given[part.value[0]] < band.under)
    chart = zip(given.values(), CHART, strict=True)
    assert total == sum(worth[sum(value > upto for upto in ends)] for value, (ends, worth) in chart)


def test_every_score_has_a_source_and_bands_that_rise() -> None:
    for score in clinical_scores().values():
        assert score.source
        for part in score.parts:
            assert bool(part.codes) + bool(part.ages) + bool(part.value) == 1
            edges = [band.under for band in part.bands]
            assert edges == sorted(edges)
            assert not edges or edges[-1] == float("inf")


def test_a_score_that_is_none_is_refused_with_the_list() -> None:
    with pytest.raises(SpecError, match="cha2ds2_vasc"):
        clinical_score("guess")
