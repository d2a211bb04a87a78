"""Differential against hidden truth: `bench/differential.py FOLDER [PATIENTS] [SEED]`. Simulated.

Asked twice a year, and in emergencies and stays, of held-out patients. Ill is who has the disease and nobody
knows; moments from the confirming procedure on do not count. A threshold for each disease lets five (one) of
a hundred moments of the healthy pass. Beside it LightGBM, taught on the same patients by what gets on record.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
from invented import CODES, Invented, hospital, made

from residency import Index, ask
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Differential, Outcome
from residency.reasoning.conditions import conditions
from residency.reasoning.differential import first_records
from residency.reasoning.outcomes import Family
from residency.validation.features import SPARSE_DAYS, features, layout_of

CHRONIC = tuple(CODES)[:6]
CONFIRMS = {  # the procedure that settles it, and when it is hardly done for anything else
    "chronic_kidney_disease": "SNOMED/16310003",
    "heart_failure": "SNOMED/40701008",
    "lung_cancer": "SNOMED/169069000",
    "atrial_fibrillation": "SNOMED/29303009",
    "coronary_disease": "SNOMED/33367005",
    "sepsis": "SNOMED/30088009",
    "stroke": "SNOMED/303653007",
    "myocardial_infarction": "SNOMED/33367005",
}
EVERY_DAYS, PRESENT_DAYS, ACUTE_DAYS = 273, 365.25, 3.0
N_DRAWS = 100


@dataclass(frozen=True)
class Asked:
    """Moments at which is asked: of one shard."""

    packed: Packed
    index: Index


def landmarks(packed: Packed, rows: np.ndarray, every_days: float) -> Index:
    """Ask every so often from the first record to the end of the observation."""
    patient, times = [], []
    for row in rows.tolist():
        first = int(packed.moment_time[packed.moments_of(row)][1])
        # not to the last record: at every index time but the last, another would be sure to come
        last = int(packed.observation_end[packed.observation_offset[row + 1] - 1])
        at = np.arange(first + DAY, last, round(every_days * DAY))
        patient += [row] * len(at)
        times += at.tolist()
    return Index(np.array(patient, np.int64), np.array(times, np.int64))


def in_stays(packed: Packed, rows: np.ndarray, stays: np.ndarray, rng: np.random.Generator) -> Index:
    """Ask at up to three moments of each emergency and stay, in its first two days."""
    patient, times = [], []
    for row in rows.tolist():
        moments = packed.moments_of(row)
        begin = packed.event_offset[moments.start : moments.stop]
        time = packed.moment_time[moments]
        starts = [
            int(time[n])
            for n, first in enumerate(begin)
            if n
            and np.isin(packed.event_code[first : packed.event_offset[moments.start + n + 1]], stays).any()
        ]
        for start in starts:
            inside = time[(time >= start) & (time < start + 2 * DAY)]
            some = rng.choice(inside, min(3, len(inside)), replace=False)
            patient += [row] * len(some)
            times += np.sort(some).tolist()
    return Index(np.array(patient, np.int64), np.array(times, np.int64))


def first_of(packed: Packed, codes: np.ndarray, row: int, after: int) -> int:
    """Give when any of some codes first came after a time."""
    moments = packed.moments_of(row)
    span = slice(int(packed.event_offset[moments.start]), int(packed.event_offset[moments.stop]))
    times = packed.event_time[span][np.isin(packed.event_code[span], codes)]
    return int(times[times > after].min(initial=np.iinfo(np.int64).max))


def states(of: Invented, asked: Asked, disease: str) -> np.ndarray:
    """Say at each moment: 1 ill and unknown, before confirmation; 0 healthy; −1 neither."""
    spans, vocabulary = of.spans()[disease], of.timelines.vocabulary
    confirm = np.array([vocabulary.index_of(CONFIRMS[disease])] if disease in CONFIRMS else [], np.int64)
    never = np.iinfo(np.int64).max
    result = np.zeros(len(asked.index), np.int64)
    ends: dict[int, int] = {}
    for n, (row, at) in enumerate(zip(asked.index.patient.tolist(), asked.index.as_of.tolist(), strict=True)):
        begun, known = spans.get(int(asked.packed.subject[row]), (never, never))
        if row not in ends:
            done = first_of(asked.packed, confirm, row, begun) if begun < never and len(confirm) else never
            ends[row] = min(known - DAY // 24, done)
        if at >= known or at >= ends[row]:
            result[n] = -1
        elif at >= begun:
            result[n] = 1
    return result


def risks(of: Invented, asked: Asked, diseases: tuple[str, ...], days: float) -> np.ndarray:
    """Give the model's chances that each gets on record."""
    outcomes = tuple(Outcome(name=name, codes=CODES[name]) for name in diseases)
    question = Differential(candidates=outcomes, imminent_days=days, present_days=days)
    found = ask(of.model, asked.packed, [first_records(question)], asked.index)
    return np.nan_to_num(found.risk.astype(np.float64))


def trees(
    of: Invented, asked: list[Asked], test: Asked, diseases: tuple[str, ...], days: float
) -> np.ndarray:
    """Give LightGBM's: taught on train patients by what gets on record within the time."""
    vocabulary = of.timelines.vocabulary
    layout, family = layout_of(vocabulary, SPARSE_DAYS, 80), Family(vocabulary, ())
    rows = np.concatenate([features(one.packed, vocabulary, layout, one.index) for one in asked])
    mine = features(test.packed, vocabulary, layout, test.index)
    result = np.zeros((len(test.index), len(diseases)))
    for n, disease in enumerate(diseases):
        codes = np.unique(np.concatenate([family.below(vocabulary.index_of(one)) for one in CODES[disease]]))
        label, fresh = (
            np.concatenate(part) for part in zip(*(_soon(one, codes, days) for one in asked), strict=True)
        )
        settings = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 40,
                    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63,
                    "lambda_l2": 5.0, "verbosity": -1, "seed": 0, "num_threads": 1}  # fmt: skip
        data = lightgbm.Dataset(rows[fresh], label=label[fresh])
        result[:, n] = lightgbm.train(settings, data, num_boost_round=120).predict(mine)
    return result


def _soon(asked: Asked, codes: np.ndarray, days: float) -> tuple[np.ndarray, np.ndarray]:
    first = {
        row: first_of(asked.packed, codes, row, -(2**62)) for row in np.unique(asked.index.patient).tolist()
    }
    at = np.array([first[row] for row in asked.index.patient.tolist()])
    return at <= asked.index.as_of + round(days * DAY), at > asked.index.as_of


@dataclass(frozen=True)
class Scored:
    """Chances and states of one disease at all moments."""

    patient: np.ndarray
    time: np.ndarray
    state: np.ndarray
    score: np.ndarray

    def recall(self, alarms: float, pick: np.ndarray) -> float:
        """Give the share of moments of the ill above the threshold that lets so many healthy ones pass."""
        healthy = self.state[pick] == 0
        ill = self.state[pick] == 1
        cut = np.quantile(self.score[pick][healthy], 1 - alarms)
        return float((self.score[pick][ill] > cut).mean()) if ill.any() else np.nan

    def days_gained(self, alarms: float, known: dict[int, int], pick: set[int] | None = None) -> list[float]:
        """Give of each ill patient the days from the first alarm to when it was found; 0 without one."""
        cut = np.quantile(self.score[self.state == 0], 1 - alarms)
        found = []
        for one in np.unique(self.patient[self.state == 1]).tolist():
            mine = (self.patient == one) & (self.state == 1)
            hits = self.time[mine & (self.score > cut)]
            if known[one] < np.iinfo(np.int64).max:
                found.append((known[one] - int(hits.min())) / DAY if len(hits) else 0.0)
        return found


def drawn(patient: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw patients with replacement, and give their rows."""
    order = np.argsort(patient, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(patient[order])) + 1, [len(order)]])
    chosen = rng.integers(len(starts) - 1, size=len(starts) - 1)
    return np.concatenate([order[starts[one] : starts[one + 1]] for one in chosen])


def table(found: dict[str, dict[str, Scored]], spans: dict[str, dict[int, tuple[int, int]]]) -> None:
    """Print recall of each disease and over all, with intervals, beside LightGBM and the difference."""
    rng = np.random.default_rng(0)
    diseases = list(found["model"])
    patient = {name: found["model"][name].patient for name in diseases}
    draws = {
        alarms: {kind: np.full((N_DRAWS, len(diseases)), np.nan) for kind in found} for alarms in (0.05, 0.01)
    }
    for n in range(N_DRAWS):
        picks = {}
        for d, name in enumerate(diseases):
            key = id(patient[name])
            if key not in picks:
                picks[key] = drawn(patient[name], rng)
            for alarms, kinds in draws.items():
                for kind, into in kinds.items():
                    into[n, d] = found[kind][name].recall(alarms, picks[key])
    grave = {one.name for one in conditions().condition if one.cant_miss}
    print(
        "| | ill, moments (patients) | recall at 5% alarms | LightGBM | difference | at 1% | LightGBM |"
        " days gained | LightGBM |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for d, name in enumerate(diseases):
        one = found["model"][name]
        ill = one.state == 1
        known = {subject: known for subject, (_, known) in spans[name].items()}
        cells = [f"{int(ill.sum())} ({len(np.unique(one.patient[ill]))})"]
        cells += _cells(draws, found, name, d)
        cells += [_days(found[kind][name].days_gained(0.05, known), rng) for kind in ("model", "LightGBM")]
        print(
            f"| {name.replace('_', ' ')}{' (cannot be missed)' if name in grave else ''} |"
            f" {' | '.join(cells)} |"
        )
    whole = {"macro": list(range(len(diseases)))}
    whole["cannot be missed"] = [d for d, name in enumerate(diseases) if name in grave]
    for title, chosen in whole.items():
        print(f"| **{title}** | | {' | '.join(_means(draws, found, diseases, chosen))} | | |")


def _means(draws: dict, found: dict, diseases: list[str], chosen: list[int]) -> list[str]:
    """Give recall over some diseases, each counting the same."""
    drawn_ = {
        a: {k: np.nanmean(into[:, chosen], axis=1) for k, into in kinds.items()} for a, kinds in draws.items()
    }
    at = {
        a: {k: np.nanmean([_whole(found[k][diseases[d]], a) for d in chosen]) for k in found} for a in draws
    }
    five, one = drawn_[0.05], drawn_[0.01]
    return [
        _with(at[0.05]["model"], five["model"]),
        _with(at[0.05]["LightGBM"], five["LightGBM"]),
        _with(at[0.05]["model"] - at[0.05]["LightGBM"], five["model"] - five["LightGBM"], sign=True),
        _with(at[0.01]["model"], one["model"]),
        _with(at[0.01]["LightGBM"], one["LightGBM"]),
    ]


def _whole(scored: Scored, alarms: float) -> float:
    return scored.recall(alarms, np.arange(len(scored.state)))


def _cells(draws: dict, found: dict, name: str, d: int) -> list[str]:
    every = np.arange(len(found["model"][name].state))
    at = {a: {k: found[k][name].recall(a, every) for k in found} for a in draws}
    five, one = draws[0.05], draws[0.01]
    return [
        _with(at[0.05]["model"], five["model"][:, d]),
        _with(at[0.05]["LightGBM"], five["LightGBM"][:, d]),
        _with(
            at[0.05]["model"] - at[0.05]["LightGBM"], five["model"][:, d] - five["LightGBM"][:, d], sign=True
        ),
        _with(at[0.01]["model"], one["model"][:, d]),
        _with(at[0.01]["LightGBM"], one["LightGBM"][:, d]),
    ]


def _with(value: float, draws: np.ndarray, *, sign: bool = False) -> str:
    if np.isnan(value):
        return "none"
    low, high = np.nanquantile(draws, [0.05, 0.95])
    form = "+.2f" if sign else ".2f"
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _days(found: list[float], rng: np.random.Generator) -> str:
    if len(found) < 5:
        return "too few"
    days = np.array(found)
    draws = days[rng.integers(len(days), size=(N_DRAWS, len(days)))].mean(axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    return f"{days.mean():.3g} ({low:.3g} to {high:.3g})"


def main(folder: Path, n_patients: int = 4000, seed: int = 11) -> None:
    """Print the table."""
    of = made(folder, hospital(n_patients, seed))
    spans, vocabulary, rng = of.spans(), of.timelines.vocabulary, np.random.default_rng(1)
    names = [code for code in vocabulary.codes if code.startswith(("VISIT/EMER", "VISIT/IMP"))]
    stays = np.array([vocabulary.index_of(code) for code in names])
    found: dict[str, dict[str, Scored]] = {"model": {}, "LightGBM": {}}
    for diseases, days in ((CHRONIC, PRESENT_DAYS), (tuple(CODES)[6:], ACUTE_DAYS)):
        acute = days == ACUTE_DAYS
        tests, teach = [], []
        for number, packed in enumerate(of.timelines.shards):
            judges, taught = of.judges(number), np.flatnonzero(of.timelines.split(number) == "train")
            if acute:
                tests.append(Asked(packed, in_stays(packed, judges, stays, rng)))
                teach.append(Asked(packed, in_stays(packed, taught, stays, rng)))
            else:
                tests.append(Asked(packed, landmarks(packed, judges, EVERY_DAYS)))
                teach.append(Asked(packed, landmarks(packed, taught, EVERY_DAYS)))
        patient = np.concatenate([one.packed.subject[one.index.patient] for one in tests])
        time = np.concatenate([one.index.as_of for one in tests])
        ours = np.concatenate([risks(of, one, diseases, days) for one in tests])
        theirs = np.concatenate([trees(of, teach, one, diseases, days) for one in tests])
        for n, name in enumerate(diseases):
            state = np.concatenate([states(of, one, name) for one in tests])
            for kind, score in (("model", ours), ("LightGBM", theirs)):
                found[kind][name] = Scored(patient, time, state, score[:, n])
    table(found, spans)


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
