"""Gates: three outcomes, and what each does to the allow list."""

from collections.abc import Callable
from pathlib import Path

import pytest

from residency.contract.errors import SpecError
from residency.contract.questions import Outcome
from residency.contract.report import Report, Slice
from residency.contract.specs import read
from residency.release import ExaminedTask, load_policy
from residency.release.allow_list import allow_list_of
from residency.release.gates import judge, overall
from residency.release.policy import Gate


def gate(**changes: object) -> Gate:
    return read(
        Gate, {"name": "g", "version": 3, "metric": "auroc", "bound": "low", "at_least": 0.7, **changes}
    )


def test_a_gate_passes_fails_or_cannot_tell(figures: Callable[..., Slice]) -> None:
    report = Report(
        tasks={
            "good": {"all": figures(0.82)},
            "weak": {"all": figures(0.71)},  # its value would pass; the low end of its interval does not
            "small": {"all": figures(0.99, events=99)},
        }
    )
    results = {verdict.task: verdict.result for verdict in judge(report, (gate(),))}
    assert results == {"good": "pass", "weak": "fail", "small": "insufficient"}


def test_a_gate_with_two_limits_wants_both(figures: Callable[..., Slice]) -> None:
    within = gate(metric="calibration_slope", bound="value", at_least=0.8, at_most=1.25)
    report = Report(tasks={f"slope {slope}": {"all": figures(slope=slope)} for slope in (0.5, 1.0, 1.5)})
    assert [verdict.result for verdict in judge(report, (within,))] == ["fail", "pass", "fail"]


def test_a_gate_reads_the_paired_difference(figures: Callable[..., Slice]) -> None:
    paired = gate(source="paired", at_least=-0.02)
    report = Report(tasks={"better": {"all": figures(0.82)}, "worse": {"all": figures(0.79)}})
    assert [verdict.result for verdict in judge(report, (paired,))] == ["pass", "fail"]


def test_a_figure_that_was_not_measured_cannot_pass(figures: Callable[..., Slice]) -> None:
    (verdict,) = judge(Report(tasks={"task": {"all": figures()}}), (gate(metric="utility"),))
    assert (verdict.result, verdict.measured) == ("insufficient", None)


def test_a_release_gate_that_finds_nothing_cannot_tell() -> None:
    (verdict,) = judge(Report(tasks={}), (gate(decides="release"),))
    assert verdict.result == "insufficient"


def test_a_release_gate_fails_by_one_task_and_passes_by_those_that_can_tell(
    figures: Callable[..., Slice],
) -> None:
    good, bad, small = figures(0.9), figures(0.3), figures(0.9, events=3)
    for slices, result in (((good, small), "pass"), ((good, bad), "fail"), ((small, small), "insufficient")):
        report = Report(tasks={str(n): {"all": one} for n, one in enumerate(slices)})
        assert overall(judge(report, (gate(decides="release"),))) == result


def test_a_missing_slice_leaves_its_task_undecided(figures: Callable[..., Slice]) -> None:
    (verdict,) = judge(Report(tasks={"task": {"all": figures()}}), (gate(slice="site=north"),))
    assert (verdict.task, verdict.result) == ("task", "insufficient")


def test_the_allow_list_holds_what_passed_and_says_why_the_rest_did_not(
    figures: Callable[..., Slice],
) -> None:
    report = Report(
        tasks={
            "good": {"all": figures(), "group=sex=male": figures(0.6), "group=sex=female": figures(events=5)},
            "bad": {"all": figures(0.6)},
        }
    )
    examined = tuple(
        ExaminedTask(task=task, outcome=Outcome(name=task, codes=("X/1",)), horizons_days=(30.0,))
        for task in report.tasks
    )
    rules = (gate(), gate(name="groups", slice="group=*", bound="value", decides="population"))
    allowed = allow_list_of(examined, judge(report, rules))
    assert allowed.tasks == ("good",)
    assert allowed.allowed[0].populations == {
        "all": "pass",
        "group=sex=male": "fail",
        "group=sex=female": "insufficient",
    }
    (refused,) = allowed.refused
    assert refused.task == "bad"
    assert refused.reasons[0].startswith("g@3: fail")


def test_a_task_that_no_gate_is_for_is_not_allowed(figures: Callable[..., Slice]) -> None:
    examined = (ExaminedTask(task="other", outcome=Outcome(name="o", codes=("X/1",)), horizons_days=(30.0,)),)
    report = Report(tasks={"other": {"all": figures()}})
    assert allow_list_of(examined, judge(report, (gate(task="sepsis*"),))).tasks == ()


def test_the_example_policy_is_complete(policy_file: Path) -> None:
    policy = load_policy(policy_file)
    assert {step.to for step in policy.step} == {"validated", "silent", "internal", "released"}
    assert all(step.signers >= 2 for step in policy.step)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('to = "silent"', 'to = "internal"'),
        ("signers = 2", "signers = 1"),
        ('gates = ["sanity"]', 'gates = ["discrimination"]'),
        ("at_least = 0.70", ""),
        ('name = "B. Safety Officer"', 'name = "a. data scientist"'),
        ("0000000002", "0000000001"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(
    tmp_path: Path, policy_file: Path, old: str, new: str
) -> None:
    wrong = tmp_path / "policy.toml"
    text = policy_file.read_text("utf-8")
    assert old in text
    wrong.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(SpecError):
        load_policy(wrong)
