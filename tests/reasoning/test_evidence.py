"""What moved the model: held against taking other records away, keeping few, and a model without sense."""

import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from invented_charts import at, events_of, vocabulary_of

from residency.contract.codes import BIRTH
from residency.contract.errors import QuestionError
from residency.contract.packed import Packed
from residency.contract.questions import Forecast, Outcome
from residency.model import Model
from residency.reasoning import Index, Limits, ask
from residency.reasoning.answers import microseconds
from residency.reasoning.evidence import SHOWN, Sources, evidence, without_codes
from residency.timeline import packing_of, take, until

PARENT = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
QUESTION = Forecast(outcomes=(PARENT,), horizons_days=(30.0, 400.0), interval=False, evidence=True)
PLAIN = Forecast(outcomes=(PARENT,), horizons_days=(400.0,), interval=False)
EVERYTHING = Limits(min_moments=0, stale_days=1e9)


@pytest.fixture(scope="module")
def records(packed: Packed) -> pl.DataFrame:
    return pl.DataFrame({"source": [f"Observation/{row}" for row in range(int(packed.event_ref.max()) + 1)]})


@pytest.fixture(scope="module")
def index(packed: Packed) -> Index:
    ends = packed.moment_offset[1:41] - 1
    return Index(np.arange(40), packed.moment_time[ends])


def risk(model: Model, packed: Packed, as_of: int) -> float:
    return float(
        ask(model, packed, [PLAIN], Index(np.zeros(1, np.int64), np.array([as_of])), limits=EVERYTHING).risk[
            0, 0
        ]
    )


def drops(model: Model, packed: Packed, index: Index, judge: Model, seed: int) -> np.ndarray:
    """Give how far the judge moves without a model's first evidence, and without another code at random."""
    rng = np.random.default_rng(seed)
    records = pl.DataFrame({"source": ["x/1"] * (int(packed.event_ref.max()) + 1)})
    answers = ask(model, packed, [QUESTION], index, records=records)
    found = []
    birth = model.vocabulary.index_of(BIRTH)
    for row in range(len(index)):
        moved = answers[row].moved
        cut = until(take(packed, index.patient[row : row + 1]), int(index.as_of[row]))
        codes = [int(code) for code in np.unique(cut.event_code) if code != birth]
        if not moved or len(codes) < 3:
            continue
        first = model.vocabulary.index_of(moved[0].code)
        other = int(rng.choice([code for code in codes if code != first]))
        whole = risk(judge, cut, int(index.as_of[row]))
        parts = (without_codes(cut, np.array([code])) for code in (first, other))
        found.append([abs(risk(judge, part, int(index.as_of[row])) - whole) for part in parts])
    return np.array(found)


@pytest.fixture(scope="module")
def ours(model: Model, packed: Packed, index: Index) -> np.ndarray:
    return drops(model, packed, index, model, seed=0)


def test_evidence_is_the_change_of_the_risk_without_the_record(
    model: Model, packed: Packed, index: Index, records: pl.DataFrame
) -> None:
    answers = ask(model, packed, [QUESTION], index, records=records, limits=EVERYTHING)
    for row in range(5):
        cut = until(take(packed, index.patient[row : row + 1]), int(index.as_of[row]))
        whole = risk(model, cut, int(index.as_of[row]))
        assert len(answers[row].moved) <= SHOWN
        for one in answers[row].moved:
            code = model.vocabulary.index_of(one.code)
            newest = np.flatnonzero(cut.event_code == code)[-1]
            assert one.citation.source == f"Observation/{cut.event_ref[newest]}"
            without = risk(model, without_codes(cut, np.array([code])), int(index.as_of[row]))
            assert one.change == pytest.approx(without - whole, abs=1e-5)
        sizes = [abs(one.change) for one in answers[row].moved]
        assert sizes == sorted(sizes, reverse=True)


def test_taking_the_first_evidence_away_moves_more_than_taking_another_code(ours: np.ndarray) -> None:
    assert len(ours) >= 15
    assert ours[:, 0].mean() > 1.5 * ours[:, 1].mean()
    assert (ours[:, 0] >= ours[:, 1] - 1e-6).all()


def test_the_evidence_alone_says_more_than_another_code_alone(
    model: Model, packed: Packed, index: Index, records: pl.DataFrame
) -> None:
    answers = ask(model, packed, [QUESTION], index, records=records)
    birth, rng, found = model.vocabulary.index_of(BIRTH), np.random.default_rng(1), []
    for row in range(len(index)):
        cut = until(take(packed, index.patient[row : row + 1]), int(index.as_of[row]))
        codes = [int(code) for code in np.unique(cut.event_code) if code != birth]
        if not answers[row].moved or len(codes) < 3:
            continue
        first = model.vocabulary.index_of(answers[row].moved[0].code)
        other = int(rng.choice([code for code in codes if code != first]))
        whole = risk(model, cut, int(index.as_of[row]))
        rest = [np.array([code for code in codes if code != kept]) for kept in (first, other)]
        found.append(
            [abs(risk(model, without_codes(cut, gone), int(index.as_of[row])) - whole) for gone in rest]
        )
    far = np.array(found)
    assert far[:, 0].mean() < far[:, 1].mean()


def test_a_model_without_sense_gives_evidence_that_another_model_does_not_follow(
    model: Model, packed: Packed, index: Index, ours: np.ndarray
) -> None:
    senseless = replace(model, network=copy.deepcopy(model.network))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in senseless.network.parameters():
            weight.copy_(torch.randn_like(weight) * 0.2)
    theirs = drops(senseless, packed, index, model, seed=0)
    assert theirs[:, 0].mean() < ours[:, 0].mean()


@pytest.mark.parametrize("n_codes", [3, 18, 19, 80, 200, 600])
def test_evidence_costs_at_most_twenty_forecasts_and_finds_what_matters(n_codes: int) -> None:
    names = [f"LOINC/{number}-0" for number in range(n_codes)]
    events = events_of([(float(number), name) for number, name in enumerate(names)])
    vocabulary = vocabulary_of(names)
    packed = packing_of(events, vocabulary).packed
    wanted = vocabulary.index_of(names[n_codes // 3])
    asked = []

    def pretend(parts: Packed, index: Index) -> np.ndarray:
        asked.append(len(index))
        has = [
            (parts.event_code[slice(*parts.event_offset[[m.start, m.stop]])] == wanted).any()
            for m in map(parts.moments_of, index.patient.tolist())
        ]
        return (0.1 + 0.5 * np.array(has)).astype(np.float32)

    found = evidence(
        packed,
        0,
        microseconds(at(5_000.0)),
        ask=pretend,
        sources=Sources(vocabulary, events.select("source")),
    )
    assert sum(asked) <= 20
    assert [one.code for one in found] == [names[n_codes // 3]]
    assert found[0].change == pytest.approx(-0.5)


def test_what_comes_later_moves_nothing(
    model: Model, packed: Packed, index: Index, records: pl.DataFrame
) -> None:
    middle = Index(
        index.patient,
        index.as_of - (index.as_of - packed.moment_time[packed.moment_offset[index.patient] + 1]) // 2,
    )
    whole = ask(model, packed, [QUESTION], middle, records=records)
    for row in range(4):
        cut = until(take(packed, middle.patient[row : row + 1]), int(middle.as_of[row]))
        alone = ask(
            model, cut, [QUESTION], Index(np.zeros(1, np.int64), middle.as_of[row : row + 1]), records=records
        )
        assert [one.code for one in alone[0].moved] == [one.code for one in whole[row].moved]
        for one, other in zip(alone[0].moved, whole[row].moved, strict=True):
            assert one.change == pytest.approx(other.change, abs=1e-5)


def test_evidence_is_refused_where_nothing_could_be_cited(model: Model, packed: Packed, index: Index) -> None:
    with pytest.raises(QuestionError, match="evidence"):
        ask(model, packed, [QUESTION], index)
