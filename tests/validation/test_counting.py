from pathlib import Path

from residency.timeline import Timelines
from residency.validation import load_tasks
from residency.validation.cohort import cohort_of
from residency.validation.counting import count

LIBRARY = Path(__file__).parents[2] / "examples" / "tasks"


def test_a_task_is_counted_as_it_will_be_asked(clinic: Path, tasks: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    for task in load_tasks(tasks):
        cohort, found = cohort_of(timelines, task, 0), count(timelines, task)
        assert {one.split for one in found} == {"train", "tuning", "held_out", "external"}
        assert sum(one.index_times for one in found) == len(cohort)
        assert found[0].left_out == cohort.counts


def test_a_task_of_the_library_that_the_data_cannot_answer_says_why(clinic: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    found = {task.name: count(timelines, task) for task in load_tasks(LIBRARY)}
    assert len(found) == 12
    assert found["chronic_kidney_disease_1y"][0].index_times > 0
    assert "no train patient has any of the outcome's codes" in found["stroke_1y"][0].cannot
    assert "no code begins with VISIT_END/IMP" in found["readmission_30d"][0].cannot
