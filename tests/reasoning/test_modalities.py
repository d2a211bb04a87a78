"""Asking a model that reads genomes beside codes: what it may use, and what it says it used."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import index_times

from residency.contract.packed import Packed
from residency.contract.questions import Forecast, Outcome
from residency.model import Model
from residency.reasoning import Index, Limits, ask
from residency.timeline import Attachments, Timelines, take, until, without

ILL = Outcome(name="ill", label="ill")
STAGE = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
QUESTION = Forecast(outcomes=(STAGE, ILL), horizons_days=(30.0, 400.0))
CODES_ALONE = msgspec.structs.replace(QUESTION, modalities=("codes",))
EVERYTHING = Limits(min_moments=0)


@pytest.fixture(scope="module")
def packed(genotyped: Timelines) -> Packed:
    return genotyped.shards[0]


@pytest.fixture(scope="module")
def attachments(genotyped: Timelines) -> Attachments:
    return genotyped.attachments(0)


def never_had(packed: Packed) -> Packed:
    return without(packed, np.ones((packed.n_patients, 3), bool))[0]


@given(seed=st.integers(0, 1_000))
@settings(max_examples=4, deadline=None)
def test_every_prefix_with_attachments_equals_cut_then_ask(
    reader: Model, packed: Packed, attachments: Attachments, seed: int
) -> None:
    index = index_times(packed, 10, seed)
    together = ask(reader, packed, [QUESTION], index, attachments=attachments, limits=EVERYTHING)
    for row in range(len(index)):
        cut = until(take(packed, index.patient[row : row + 1]), int(index.as_of[row]))
        alone = Index(np.zeros(1, np.int64), index.as_of[row : row + 1])
        answer = ask(reader, cut, [QUESTION], alone, attachments=attachments, limits=EVERYTHING)
        np.testing.assert_allclose(answer.risk[0], together.risk[row], atol=1e-5)
        assert answer.reason[0].tolist() == together.reason[row].tolist()
        assert answer[0].modalities == together[row].modalities


@given(seed=st.integers(0, 1_000))
@settings(max_examples=4, deadline=None)
def test_codes_alone_answer_as_though_there_had_never_been_a_genome(
    reader: Model, packed: Packed, attachments: Attachments, seed: int
) -> None:
    index = index_times(packed, 25, seed)
    asked = ask(reader, packed, [CODES_ALONE], index, attachments=attachments, limits=EVERYTHING)
    bare = ask(reader, never_had(packed), [QUESTION], index, limits=EVERYTHING)
    np.testing.assert_array_equal(asked.risk, bare.risk)
    np.testing.assert_array_equal(asked.latest, bare.latest)
    assert asked[0].modalities == ("codes",)
    forgotten = ask(reader, packed, [QUESTION], index, limits=EVERYTHING)
    np.testing.assert_array_equal(forgotten.risk, bare.risk)


def test_an_answer_says_what_it_used_at_its_own_time(
    reader: Model, packed: Packed, attachments: Attachments
) -> None:
    moment = np.repeat(np.arange(packed.n_moments), np.diff(packed.attachment_offset))
    patient = np.searchsorted(packed.moment_offset, moment, "right") - 1
    time = packed.moment_time[moment]
    before = ask(reader, packed, [QUESTION], Index(patient, time - 1), attachments=attachments)
    since = ask(reader, packed, [QUESTION], Index(patient, time), attachments=attachments)
    assert {before[row].modalities for row in range(len(before))} == {("codes",)}
    assert {since[row].modalities for row in range(len(since))} == {("codes", "variants")}
    assert np.nanmax(np.abs(before.risk - since.risk)) > 0.05


def test_a_genome_that_comes_later_changes_nothing(
    reader: Model, packed: Packed, attachments: Attachments
) -> None:
    moment = np.repeat(np.arange(packed.n_moments), np.diff(packed.attachment_offset))
    patient = np.searchsorted(packed.moment_offset, moment, "right") - 1
    index = Index(patient, packed.moment_time[moment] - 1)
    before = ask(reader, packed, [QUESTION], index, attachments=attachments, limits=EVERYTHING)
    never = ask(reader, never_had(packed), [QUESTION], index, limits=EVERYTHING)
    np.testing.assert_allclose(before.risk, never.risk, atol=1e-6)
    assert before.reason.tolist() == never.reason.tolist()


def test_questions_that_may_use_different_things_are_asked_together(
    reader: Model, packed: Packed, attachments: Attachments
) -> None:
    index = index_times(packed, 40, 0)
    both = ask(reader, packed, [CODES_ALONE, QUESTION, CODES_ALONE], index, attachments=attachments)
    apart = [ask(reader, packed, [one], index, attachments=attachments) for one in (CODES_ALONE, QUESTION)]
    width = len(apart[0].columns)
    for number, one in enumerate((apart[0], apart[1], apart[0])):
        np.testing.assert_array_equal(both.risk[:, number * width : (number + 1) * width], one.risk)
        np.testing.assert_array_equal(both.latest[:, number], one.latest[:, 0])
    used = {(both.answer(row, 0).modalities, both.answer(row, 1).modalities) for row in range(len(index))}
    assert (("codes",), ("codes", "variants")) in used
    assert all(first == ("codes",) for first, _ in used)


def test_a_patient_of_whom_there_is_only_a_genome_is_answered(
    reader: Model, attachments: Attachments
) -> None:
    lone = Packed(
        **{
            **{name: getattr(empty_of(reader), name) for name in Packed.__dataclass_fields__},
            "attachment_offset": np.array([0, 1]),
            "attachment_kind": np.array([2], np.int8),
            "attachment_ref": np.array([0]),
        }
    )
    index = Index(np.zeros(1, np.int64), np.zeros(1, np.int64))
    with_it = ask(reader, lone, [QUESTION], index, attachments=attachments, limits=EVERYTHING)
    without_it = ask(reader, lone, [CODES_ALONE], index, attachments=attachments, limits=EVERYTHING)
    assert with_it[0].modalities == ("codes", "variants")
    assert with_it[0].risks
    assert [one.reason for one in without_it[0].abstentions] == ["too_little_history"] * 2


def empty_of(model: Model) -> Packed:
    """Give a patient of whom nothing is known."""
    nothing, offset = np.zeros(0, np.int64), np.zeros(2, np.int64)
    return Packed(
        subject=np.array([1]),
        moment_offset=np.array([0, 1]),
        moment_time=np.array([np.iinfo(np.int64).min]),
        event_offset=offset,
        event_code=nothing.astype(np.int32),
        event_value=nothing.astype(np.float32),
        event_time=nothing,
        event_ref=nothing,
        attachment_offset=offset,
        attachment_kind=nothing.astype(np.int8),
        attachment_ref=nothing,
        observation_offset=offset,
        observation_start=nothing,
        observation_end=nothing,
        label_offset=offset,
        label_time=nothing,
        label_task=nothing.astype(np.int16),
        label_value=nothing.astype(np.float32),
    )
