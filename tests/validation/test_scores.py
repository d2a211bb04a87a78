from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from residency.contract.errors import InputError, SpecError
from residency.contract.lineage import open_made
from residency.contract.report import read_report
from residency.contract.verdict import read_verdicts
from residency.validation import Offer, ValidationSpec, validate_scores

FAST = ValidationSpec(n_draws=60)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two vendors' files about the same 1,500 patients: one right, one too bold."""
    folder, rng = tmp_path_factory.mktemp("vendors"), np.random.default_rng(4)
    truth = rng.normal(-2, 1.2, 1_500)
    known = {
        "patient": np.arange(1_500),
        "time": np.array(["2020-01-01T08:00:00"] * 1_500),
        "outcome": (rng.random(1_500) < 1 / (1 + np.exp(-truth))).astype(int),
        "sex": rng.choice(["f", "m"], 1_500),
    }
    for name, at in {"right": truth, "bold": 2 * truth + 2}.items():
        pl.DataFrame({**known, "score": 1 / (1 + np.exp(-at))}).write_csv(folder / f"{name}.csv")
    return folder


@pytest.fixture(scope="module")
def both(files: Path, ward: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judged") / "out"
    (files / "said.toml").write_text('developer = "Both."\n[bold]\nprivacy = "Nothing is <kept>."\n')
    offer = Offer(
        files=(str(files / "right.csv"), str(files / "bold.csv")),
        threshold=0.15,
        title="An outcome & more",
        statements=files / "said.toml",
    )
    validate_scores(out, offer, FAST, now=ward.now)
    return out


def test_two_models_are_judged_side_by_side(both: Path) -> None:
    found = read_verdicts(both / "verdict.json")
    assert {one.model: one.verdict for one in found.verdicts} == {"right": "use", "bold": "recalibrate"}
    metrics = {(one.one, one.other, one.metric): one for one in found.comparisons}
    assert metrics["right", "bold", "auroc"].difference.value == pytest.approx(0, abs=1e-3)
    assert metrics["right", "bold", "ici"].difference.high < 0
    assert metrics["right", "bold", "ici"].p_corrected < 0.01


def test_each_model_has_its_own_report_and_predictions(both: Path) -> None:
    for model in ("right", "bold"):
        held = read_report(both / "models" / model / "report.json").tasks["outcome"]["all"]
        assert held.patients == 1_500
        page = (both / "models" / model / "report.html").read_text("utf-8")
        assert "only its maker knows" in page
        assert not any(ours in page for ours in ("LightGBM", "network"))
        assert list((both / "models" / model / "predictions" / "outcome").glob("*.parquet"))


def test_the_page_says_the_words_the_questions_left_open_and_nothing_from_outside(both: Path) -> None:
    page = (both / "verdict.html").read_text("utf-8")
    assert "Recalibrate" in page
    assert "left open: ask" in page
    assert "Nothing is &lt;kept&gt;." in page
    assert "An outcome &amp; more" in page
    for outside in ('src="http', "@import", "<script", 'rel="stylesheet"'):
        assert outside not in page


def test_what_a_vendor_states_is_shown_as_said_and_never_as_found(both: Path) -> None:
    evidence = read_verdicts(both / "verdict.json").evidence
    privacy = {model: next(one for one in some if one.key == "privacy") for model, some in evidence.items()}
    assert privacy["bold"].said == "Nothing is <kept>."
    assert privacy["bold"].found is None
    assert privacy["right"].said is None
    ranking = next(one for one in evidence["right"] if one.key == "ranking")
    assert "of 100 pairs" in ranking.found


def test_statements_about_what_is_no_question_are_refused(files: Path, ward: Any, tmp_path: Path) -> None:
    (tmp_path / "said.toml").write_text('price = "low"\n')
    offer = Offer((str(files / "right.csv"),), statements=tmp_path / "said.toml")
    with pytest.raises(SpecError, match="price"):
        validate_scores(tmp_path / "out", offer, FAST, now=ward.now)


def test_the_same_files_give_the_same_bytes_and_one_acts_at_the_share_with_the_outcome(
    files: Path, ward: Any, tmp_path: Path
) -> None:
    offer = Offer((f"a={files / 'right.csv'}",))
    one = validate_scores(tmp_path / "one", offer, FAST, now=ward.now)
    again = validate_scores(tmp_path / "two", offer, FAST, now=ward.now)
    assert one.digest == again.digest
    assert open_made(tmp_path / "one").digest == one.digest
    assert (tmp_path / "one" / "report.html").exists()
    share = pl.read_csv(files / "right.csv")["outcome"].mean()
    assert read_verdicts(tmp_path / "one" / "verdict.json").verdicts[0].threshold == pytest.approx(share)


def test_two_models_of_one_name_and_files_that_disagree_are_refused(
    files: Path, ward: Any, tmp_path: Path
) -> None:
    right = str(files / "right.csv")
    with pytest.raises(SpecError, match="two models are called right"):
        validate_scores(tmp_path / "out", Offer((right, right)), FAST, now=ward.now)
    other = pl.read_csv(files / "bold.csv").with_columns(outcome=1 - pl.col("outcome"))
    other.write_csv(tmp_path / "other.csv")
    with pytest.raises(InputError, match="1,500 predictions have different outcomes"):
        validate_scores(tmp_path / "out", Offer((right, str(tmp_path / "other.csv"))), FAST, now=ward.now)


def test_patients_known_by_their_line_alone_are_not_matched_between_files(ward: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("score,outcome\n" + "0.1,0\n0.6,1\n0.3,0\n" * 50)
    files = (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))
    validate_scores(tmp_path / "out", Offer(files), FAST, now=ward.now)
    found = read_verdicts(tmp_path / "out" / "verdict.json")
    assert not found.comparisons
    assert "names no patients" in " ".join(found.verdicts[0].cautions)
