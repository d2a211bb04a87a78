"""Emulated trials: who enters, that sickness does not pass for the drug's doing, when there is no figure."""

import tomllib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from residency.contract.errors import QuestionError
from residency.contract.identifiers import bucket_of
from residency.contract.lineage import Rows, Step
from residency.contract.packed import DAY
from residency.contract.questions import Outcome, Treatment
from residency.contract.schema import CODES, EVENTS, OBSERVATION, SUBJECTS
from residency.contract.specs import read
from residency.model import Model
from residency.reasoning import Index, TargetTrial, ask, emulate
from residency.reasoning.censoring import weights
from residency.reasoning.covariates import Instant, Layout
from residency.reasoning.effects import Effects, Estimate, e_value
from residency.reasoning.emulating import Codes, Recruiting, followed
from residency.reasoning.research import local_effects
from residency.timeline import BuildSpec, Timelines, build, take, until

pytest.importorskip("econml", reason="the extra `effects` is not installed")
EPOCH = datetime(2015, 1, 5)  # noqa: DTZ001 - naive, as in the schema
TRIAL = TargetTrial(
    name="losartan", eligible=("ICD10CM/N18.3",), drug=("RXNORM/979492",), outcome=("ICD10CM/N18.6",),
    horizon_days=365.0, grace_days=7.0, negative_control=("ICD10CM/H25.9",),
)  # fmt: skip
TRUE_EFFECT = -0.15


def people(rng: np.random.Generator, n: int) -> list[dict]:
    """The sicker have a higher creatinine, get the drug more often, and fail more often; the drug helps.

    Nobody over 80 is treated. One in five has used the drug before; a cataract comes to anybody.
    """
    rows: list[dict] = []
    for subject in range(1, n + 1):
        sick, age = rng.normal(), rng.uniform(50, 95)
        at = EPOCH + timedelta(days=float(rng.uniform(0, 300)))
        treated = rng.random() < 1 / (1 + np.exp(-1.2 * sick)) and age < 80
        risk = np.clip(0.35 + 0.12 * sick + TRUE_EFFECT * treated, 0.02, 0.9)

        creatinine = float(1.5 + 0.3 * sick + rng.normal() * 0.05)
        day = rng.uniform(20, 360, 2)
        happened = [
            (True, -age * 365.25, "MEDS_BIRTH", None),
            (True, -30.0, "LOINC/2160-0", creatinine),
            (rng.random() < 0.2, -60.0, "RXNORM/979492", None),
            (True, 0.0, "ICD10CM/N18.3", None),
            (treated, 0.01, "RXNORM/979492", None),
            (rng.random() < risk, day[0], "ICD10CM/N18.6", None),
            (rng.random() < 0.3, day[1], "ICD10CM/H25.9", None),
        ]
        for is_so, days, code, value in happened:
            time = at + timedelta(days=float(days))
            row = {
                "subject_id": subject,
                "time": time,
                "code": code,
                "available": time,
                "numeric_value": value,
            }
            rows += [row] if is_so else []
    return rows


def frame(schema, rows: list[dict]) -> pl.DataFrame:
    kinds = pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
    return pl.DataFrame([{name: row.get(name) for name in kinds} for row in rows], schema=kinds, orient="row")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Timelines:
    folder, n = tmp_path_factory.mktemp("trial"), 2400
    rows = [{**row, "site": "north"} for row in people(np.random.default_rng(3), n)]
    end = EPOCH + timedelta(days=800)
    seen = [{"subject_id": s, "start": EPOCH, "end": end, "rule": "invented"} for s in range(1, n + 1)]
    who = [{"subject_id": s, "site": "north", "split_bucket": bucket_of(s)} for s in range(1, n + 1)]
    tables = {
        "metadata/subjects.parquet": frame(SUBJECTS, who),
        "metadata/codes.parquet": frame(CODES, []),
        "data/0.parquet": frame(EVENTS, rows).sort("subject_id", "time", "code"),
        "observation/0.parquet": frame(OBSERVATION, seen),
    }
    now = datetime(2024, 1, 1, tzinfo=UTC)
    with Step(folder / "records", name="ingest", inputs=["0" * 64], spec={}, now=now) as step:
        for name, table in tables.items():
            step.file(name, make=lambda path, table=table: (table.write_parquet(path), len(table))[1])
        step.finish(rows=Rows())
    build(folder / "records", folder / "timelines", BuildSpec(), now=now)
    return Timelines.open(folder / "timelines")


@pytest.fixture(scope="module")
def effects(clinic: Timelines) -> Effects:
    return emulate(clinic, TRIAL)


def test_sickness_does_not_pass_for_the_drugs_doing(effects: Effects) -> None:
    assert effects.naive.value > TRUE_EFFECT + 0.03  # the sicker are treated: it looks idle
    assert effects.effect.low <= TRUE_EFFECT <= effects.effect.high
    assert abs(effects.effect.value - TRUE_EFFECT) < abs(effects.naive.value - TRUE_EFFECT)
    assert effects.e_value >= 1


def test_who_used_the_drug_before_is_left_out_and_counted(effects: Effects, clinic: Timelines) -> None:
    n_train = sum(int((clinic.split(n) == "train").sum()) for n in range(len(clinic.shards)))
    assert effects.counts["took one of the drugs before"] > 0.15 * clinic.n_patients
    assert effects.counts["treated"] + effects.counts["not treated"] == effects.counts["entered"] < n_train


def test_an_outcome_that_the_drug_cannot_change_shows_no_effect(effects: Effects) -> None:
    assert effects.control is not None
    assert not effects.doubted
    assert abs(effects.control.value) < 0.08


def _now(clinic: Timelines, old: bool) -> list[Instant]:
    (packed,) = clinic.shards
    found = []
    for row in range(packed.n_patients):
        moments = packed.moments_of(row)
        times = packed.moment_time[moments]
        age = (int(times[2]) - int(times[0])) / DAY / 365.25
        if (age > 88) if old else (age < 70):
            found.append(Instant(packed, row, int(times[2]), int(times[2])))
    return found


def test_where_nobody_comparable_was_treated_there_is_no_figure(effects: Effects, clinic: Timelines) -> None:
    old, younger = (effects.individual(_now(clinic, which)) for which in (True, False))
    assert np.isnan(old[0]).mean() > 0.9
    assert np.isnan(younger[0]).mean() < 0.1
    some = np.isfinite(younger[0])
    assert (younger[1][some] <= younger[0][some]).all()
    assert (younger[0][some] <= younger[2][some]).all()


def test_too_few_patients_or_a_drug_of_another_world_are_refused(clinic: Timelines) -> None:
    with pytest.raises(QuestionError, match="know none"):
        emulate(clinic, replace(TRIAL, drug=("RXNORM/1",)))
    with pytest.raises(QuestionError, match="fewer than"):
        emulate(clinic, replace(TRIAL, eligible=("ICD10CM/H25.9",)))


def test_nothing_after_time_zero_or_known_later_is_a_covariate(clinic: Timelines) -> None:
    (packed,) = clinic.shards
    recruiting = Recruiting(TRIAL, Codes.of(TRIAL, clinic.vocabulary), Counter())
    entrant = next(recruiting.entrants(packed, 0))
    then = Instant(packed, entrant.row, entrant.zero, entrant.start)
    cut = until(take(packed, np.array([entrant.row])), entrant.zero)
    now = Instant(cut, 0, entrant.zero, entrant.start)
    layout, again = (
        Layout.of(clinic.vocabulary, [one], 10, TRIAL.eligible + TRIAL.drug) for one in (then, now)
    )
    assert layout == again
    assert np.array_equal(layout.raw(then), layout.raw(now), equal_nan=True)


def test_who_entered_too_late_to_be_followed_counts_for_nobody_ill_or_not(clinic: Timelines) -> None:
    """Data end at a date: of late entrants only the ill could be known."""
    (packed,) = clinic.shards
    codes, horizon = Codes.of(TRIAL, clinic.vocabulary), 700.0
    entrants = list(Recruiting(TRIAL, codes, Counter()).entrants(packed, 0))
    found = followed(clinic, entrants, codes, codes.outcome, horizon)
    end = int(packed.observation_end.max())
    days_left = np.array([(end - one.start) / DAY for one in entrants])
    early, late = days_left > horizon + 20, days_left < horizon - 20  # an era is some nine days long
    assert found.outcome[late].mean() > 0.2
    assert found.weight[late].max() == 0.0
    assert found.weight[early] == pytest.approx(1.0)


def test_weighted_for_who_left_as_many_had_the_outcome_as_would_have_had_nobody_left() -> None:
    rng = np.random.default_rng(1)
    outcome, died, left = rng.exponential((2.0, 3.0, 1.5), (100_000, 3)).T
    ended = np.minimum(outcome, died)
    truth = float(((outcome < died) & (outcome <= 1.0)).mean())
    had = (outcome < died) & (outcome <= np.minimum(left, 1.0))
    known = np.minimum(ended, 1.0) <= left
    seen, alike = np.minimum(np.minimum(left, ended), 1.0), np.zeros(len(left), np.int64)
    weight = weights(seen, known, np.ones(len(left)), alike, 1.0)[0]
    assert weight.mean() == pytest.approx(1.0, abs=0.01)
    assert (weight * had).mean() == pytest.approx(truth, abs=0.006)


def test_an_e_value_is_that_of_the_paper_and_one_where_there_may_be_no_effect() -> None:
    assert e_value(0.1, Estimate(0.29, 0.29, 0.4)) == pytest.approx(
        7.26, abs=0.01
    )  # risk ratio 3.9, VanderWeele 2017
    assert e_value(0.1, Estimate(-0.01, -0.03, 0.01)) == 1.0


def test_in_research_mode_a_patient_is_told_what_was_done_here_and_that_it_is_research(
    model: Model, packed, effects: Effects
) -> None:
    question = Treatment(
        options=("losartan", "warfarin"), outcome=Outcome(name="kidney_failure", codes=("ICD10CM/N18.6",)),
        horizon_days=365.0, mode="research",
    )  # fmt: skip
    index = Index(np.zeros(1, np.int64), packed.moment_time[packed.moment_offset[1:2] - 1])
    answer = ask(model, packed, [question], index, effects=[effects])[0]
    assert answer.research
    tags = [one.tag for one in answer.statements]
    assert tags.count("no_figure") + tags.count("local_effect") == 2
    assert "not_checked" in tags  # what speaks against a drug is looked at here too
    with pytest.raises(QuestionError, match="emulated trials"):
        ask(model, packed, [question], index)


def test_the_trials_own_drug_and_outcome_are_found_by_name_or_code(
    effects: Effects, clinic: Timelines
) -> None:
    (instant, *_) = _now(clinic, old=False)
    base = Treatment(
        options=("losartan", "RXNORM/979492", "warfarin"),
        outcome=Outcome(name="kidney_failure", codes=("ICD10CM/N18.6",)), horizon_days=365.0, mode="research",
    )  # fmt: skip
    found = local_effects(base, [effects], instant)
    assert [one is not None for one in found] == [True, True, False]
    other = msgspec.structs.replace(base, outcome=Outcome(name="death", codes=("MEDS_DEATH",)))
    assert local_effects(other, [effects], instant) == (None, None, None)


def test_a_trial_is_text_and_a_wrong_key_is_named(tmp_path: Path) -> None:
    shipped = sorted((Path(__file__).parents[2] / "examples" / "trials").glob("*.toml"))
    assert shipped
    for path in shipped:
        assert read(TargetTrial, tomllib.loads(path.read_text()), where=path.name).eligible
