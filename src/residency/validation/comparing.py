"""In: several models' scores of one task. Out: each pair on what both answered, with Holm's correction."""

from collections.abc import Mapping
from itertools import combinations
from typing import Final

import msgspec
import polars as pl

from residency.contract.verdict import Comparison
from residency.validation.contrasts import holm
from residency.validation.figures import Figure, Rules, figures_of
from residency.validation.measuring import Course

COMPARED: Final = ("auroc", "net_benefit", "ici")
_KEY: Final = ("subject_id", "prediction_time")


def compare(models: Mapping[str, pl.DataFrame], task: str, rules: Rules, course: Course) -> list[Comparison]:
    """Hold each model against each other.

    Args:
        models: rows of each, sorted by patient and time; a NaN score is an abstention.
        task: its name.
        rules: threshold and burden.
        course: of the bootstrap; both of a pair are measured on the same draws.
    """
    found = []
    for one, other in combinations(models, 2):
        rows = shared(models[one], models[other])
        counts = course.counts(f"{task}/{one}/{other}", rows["subject_id"].n_unique())
        mine = figures_of(rows, "score", rules, counts) if len(rows) else None
        theirs = figures_of(rows, "other", rules, counts) if len(rows) else None
        events = rows.filter("label")["subject_id"].n_unique()
        for metric in COMPARED:
            if mine is not None and theirs is not None and metric in mine and metric in theirs:
                less = mine[metric].less(theirs[metric])
                found.append(_comparison((task, one, other), metric, (len(rows), events), less))
    corrected = holm([less.p for less in found])
    return [msgspec.structs.replace(less, p_corrected=p) for less, p in zip(found, corrected, strict=True)]


def shared(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Give the predictions that both made, with the other's score as `other`."""
    answered = pl.col("score").is_not_nan()
    theirs = other.filter(answered).select(*_KEY, other="score")
    joined = one.filter(answered).join(theirs, on=list(_KEY), how="inner", nulls_equal=True)
    return joined.sort("subject_id", "prediction_time")


def _comparison(
    names: tuple[str, str, str], metric: str, counted: tuple[int, int], less: Figure
) -> Comparison:
    return Comparison(
        task=names[0],
        one=names[1],
        other=names[2],
        metric=metric,
        predictions=counted[0],
        events=counted[1],
        difference=less.metric,
        p=less.p,
        p_corrected=None,
    )
