import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.contract.errors import LineageError
from residency.timeline import Vocabulary
from residency.timeline.ancestry import Ancestry, ancestry_of
from residency.timeline.fitting import Tally, vocabulary_of
from residency.timeline.knots import SAMPLE, hash_of, knots_of, sample_of

LAB = 5


def rank(vocabulary: Vocabulary, *values: float) -> list[float]:
    return (
        vocabulary.rank(np.full(len(values), LAB, np.int32), np.array(values, np.float32)).round(4).tolist()
    )


def test_a_rank_is_linear_between_knots_and_level_outside(vocabulary) -> None:
    assert rank(vocabulary, 0.1, 0.5, 0.75, 1.0, 2.5, 4.0, 99.0) == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_there_is_no_rank_without_a_value_or_without_knots(vocabulary) -> None:
    code = np.array([LAB, 3, 0], np.int32)
    assert np.isnan(vocabulary.rank(code, np.array([np.nan, 1.0, 1.0], np.float32))).all()
    assert len(vocabulary.rank(code[:0], np.zeros(0, np.float32))) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60), st.integers(2, 17))
def test_knots_and_levels_rise_and_a_rank_agrees_with_numpy(values, n_knots) -> None:
    knots, levels = knots_of(np.array(values, np.float32), n_knots)
    assert (np.diff(knots) > 0).all()
    assert (np.diff(levels) > 0).all()
    assert levels.min() >= 0
    assert levels.max() <= 1
    vocabulary = Vocabulary(
        codes=("UNKNOWN",),
        descriptions=("",),
        units=(None,),
        n_patients=np.array([0]),
        n_events=np.array([0]),
        ancestor_offset=np.array([0, 0]),
        ancestor_index=np.zeros(0, np.int32),
        knot_offset=np.array([0, len(knots)]),
        knots=knots,
        levels=levels,
        also={},
    )
    asked = np.array(values, np.float32)
    got = vocabulary.rank(np.zeros(len(asked), np.int32), asked)
    assert np.allclose(got, np.interp(asked, knots, levels), atol=1e-5)


def test_a_shared_value_has_the_middle_of_its_share() -> None:
    knots, levels = knots_of(np.array([0.0] * 50 + list(range(1, 51)), np.float32), 17)
    assert knots[0] == 0
    assert 0.1 < levels[0] < 0.3


def test_the_sample_of_samples_is_the_sample_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    n = 3 * SAMPLE
    value = rng.normal(size=n).astype(np.float32)
    rows = pl.DataFrame(
        {"code": ["a"] * n, "unit": [None] * n, "value": value}, schema_overrides={"unit": pl.String}
    )
    rows = rows.with_columns(hash=pl.Series(hash_of(np.arange(n), value)))
    parts = [sample_of(rows[:SAMPLE]), sample_of(rows[SAMPLE:])]
    apart, whole = sample_of(pl.concat(parts[::-1])), sample_of(rows)
    assert apart.sort("hash").equals(whole.sort("hash"))
    assert len(whole) == SAMPLE
    assert abs(np.median(whole["value"].to_numpy()) - np.median(value)) < 0.05


def test_small_data_are_sampled_whole() -> None:
    rows = pl.DataFrame({"code": ["a"] * 9, "unit": ["g"] * 9, "value": [1.0] * 9, "hash": [0] * 9})
    assert len(sample_of(rows)) == 9


def test_it_opens_as_it_was_written(vocabulary, tmp_path) -> None:
    vocabulary.write(tmp_path)
    opened = Vocabulary.open(tmp_path)
    assert opened.codes == vocabulary.codes
    assert opened.units == vocabulary.units
    assert opened.also == vocabulary.also
    assert opened.ancestor_offset.tolist() == vocabulary.ancestor_offset.tolist()
    assert opened.knot_offset.tolist() == vocabulary.knot_offset.tolist()
    assert opened.knots.tolist() == vocabulary.knots.tolist()
    with pytest.raises(LineageError):
        Vocabulary.open(tmp_path / "nowhere")


def test_ancestors_come_nearest_first_and_rings_do_no_harm() -> None:
    ancestry = Ancestry({"a": ("b", "c"), "b": ("d",), "c": ("d", "a"), "d": ("b",)})
    assert ancestry.ancestors("a") == ("b", "c", "d")
    assert ancestry.ancestors("d") == ("b",)
    assert ancestry.ancestors("ICD10CM/E11.22") == ("ICD10CM/E11.2", "ICD10CM/E11")
    assert ancestry.ancestors("LOCAL/alone") == ()


def test_a_rare_listed_code_is_read_as_its_stated_ancestor() -> None:
    codes = pl.DataFrame(
        {
            "code": ["LOCAL/rare", "LOCAL/group"],
            "description": [None, "a group"],
            "parent_codes": [["LOCAL/group"], []],
            "unit": [None, None],
        },
        schema_overrides={"unit": pl.String},
    )
    nodes = {"node": ["LOCAL/group", "LOCAL/rare"], "n_patients": [20, 3], "n_events": [30, 3]}
    tally = Tally.empty().plus(Tally(pl.DataFrame(nodes), Tally.empty().units, Tally.empty().values))
    vocabulary = vocabulary_of(tally, codes, min_patients=10, n_knots=5)
    assert "LOCAL/rare" not in vocabulary.codes
    reading = vocabulary.reading_of("LOCAL/rare")
    assert (vocabulary.codes[reading.index], reading.exact) == ("LOCAL/group", False)
    assert vocabulary.descriptions[reading.index] == "a group"
    assert ancestry_of(codes).ancestors("LOCAL/rare") == ("LOCAL/group",)


def test_the_stated_unit_stands_above_the_common_one() -> None:
    codes = pl.DataFrame({"code": ["LAB/a"], "description": [""], "parent_codes": [[]], "unit": ["g"]})
    nodes = pl.DataFrame({"node": ["LAB/a", "LAB/b"], "n_patients": [9, 9], "n_events": [9, 9]})
    units = pl.DataFrame(
        {
            "code": ["LAB/a", "LAB/a", "LAB/b", "LAB/b"],
            "unit": ["g", "mg", "g", "mg"],
            "n_patients": [1, 9, 3, 9],
            "n_values": [1, 9, 3, 9],
        }
    )
    empty = Tally.empty()
    tally = Tally(nodes.cast(empty.nodes.schema), units.cast(empty.units.schema), empty.values)
    vocabulary = vocabulary_of(
        tally, codes.cast({"parent_codes": pl.List(pl.String)}), min_patients=5, n_knots=5
    )
    assert vocabulary.units[vocabulary.index_of("LAB/a")] == "g"
    assert vocabulary.units[vocabulary.index_of("LAB/b")] == "mg"
