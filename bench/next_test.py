"""Tests asked for one after the other, for money: `bench/next_test.py FOLDER [PATIENTS] [SEED]`. Simulated.

A gatekeeper knows the hidden state of held-out patients, and gives the result of a test that is paid for, as
the simulation would measure it then. Somebody wonders about one of three diseases, and acts above a risk.
Right is to act for whom the disease has begun unseen. Policies: nothing, the usual test for the suspicion, a
check-up, everything, a random order, and the test that `next_test` advises until none is worth its cost.
Weights give the share of the ill back. Intervals are by patient, 90%; the last column is paired by case.
"""

import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from invented import CODES, Invented, hospital, made, number_of

from residency import HospitalSpec, Index, ask
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Forecast, NextTest, Outcome
from residency.reasoning import Limits
from residency.reasoning.index import place
from residency.reasoning.supposing import Result, suppose
from residency.reasoning.trying import Choice, Tried, choices, results_of, tests
from residency.simulation.contacts import Person, person
from residency.simulation.course import course
from residency.simulation.measurements import levels, sheet
from residency.simulation.people import people
from residency.simulation.simulating import BLOCK
from residency.timeline import concatenate, take, until

USUAL = {
    "type_2_diabetes": ("hba1c",),
    "chronic_kidney_disease": ("creatinine", "albumin_creatinine"),
    "heart_failure": ("nt_pro_bnp",),
}
CHECK_UP = ("glucose", "creatinine", "haemoglobin", "tsh")
OFFERED = ("hba1c", "glucose", "creatinine", "albumin_creatinine", "haemoglobin", "nt_pro_bnp", "tsh")
HORIZON, ACT_ABOVE = 365.25, 0.06
N_ILL, N_HEALTHY, MOST_TESTS = 40, 60, 3
EVERYTHING = Limits(min_moments=0, stale_days=1e9, max_unknown_share=1.0)
PRICES = (0.01, 0.1, 1.0)  # net true positives in 10,000 that a dollar must bring


@dataclass
class Case:
    """A patient, a suspicion, the record so far and what was paid."""

    packed: Packed
    as_of: int
    disease: str
    ill: bool
    weight: float
    person: Person
    noise: np.ndarray
    paid: float = 0.0
    done: tuple[str, ...] = ()
    risk: float = 0.0

    def result(self, choice: Choice, code: str) -> Result:
        """Give the result as it would be measured now."""
        table = sheet()
        lab = table.index[code.partition("/")[2]]
        day = np.array([self.as_of / DAY - self.person.entry_day])
        value = levels(self.person, day, np.zeros(1, np.int64))[0, lab] + table.within[lab] * self.noise[lab]
        value = np.exp(min(value, 12.0)) if table.log[lab] else value
        return Result(choice.code, float(max(min(value, table.high[lab]), 10.0**-4)))

    def after(self, choice: Choice, code: str) -> "Case":
        """Give the case with a test done: the blood is drawn once."""
        taken = {one.sample for one in tests().test if one.name in self.done}
        priced = next(one for one in tests().test if one.name == choice.name)
        cost = priced.price + (0.0 if priced.sample in taken else tests().sample[priced.sample])
        packed, index = suppose(self.packed, [(self.result(choice, code),)], self.as_of)
        as_of = int(index.as_of[0])
        return replace(
            self, packed=packed, as_of=as_of, paid=self.paid + cost, done=(*self.done, choice.name)
        )


@cache
def block(spec: HospitalSpec, first: int) -> tuple:
    """Draw a block of the simulation's people again."""
    group = people(spec, first, BLOCK)
    return group, course(group, spec)


def cases(of: Invented, spec: HospitalSpec, seed: int) -> list[Case]:
    """Draw moments of held-out patients without the disease on record, the ill more often than they are."""
    rng, spans = np.random.default_rng(seed), of.spans()
    ids = {s: i for i, s in of.truth("patients").select("source_id", "subject_id").iter_rows()}
    found: list[Case] = []
    for disease in USUAL:
        moments: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
        for shard, packed in enumerate(of.timelines.shards):
            for row in of.judges(shard).tolist():
                time = packed.moment_time[packed.moments_of(row)]
                begun, known = spans[disease].get(int(packed.subject[row]), (2**62, 2**62))
                for at in range(int(time[1]) + 365 * DAY, int(time[-1]), 365 * DAY):
                    if at < known:
                        moments[at >= begun].append((shard, row, at))
        for ill, most in ((True, N_ILL), (False, N_HEALTHY)):
            chosen = rng.permutation(len(moments[ill]))[:most]
            total = len(moments[True]) + len(moments[False])
            for shard, row, at in (moments[ill][n] for n in chosen):
                packed = of.timelines.shards[shard]
                number = number_of(ids[int(packed.subject[row])])
                group, lived = block(spec, number // BLOCK * BLOCK)
                cut = until(take(packed, np.array([row])), at)
                who = person(group, lived, number % BLOCK)
                weight = len(moments[ill]) / total / len(chosen)
                found.append(Case(cut, at, disease, ill, weight, who, rng.standard_normal(len(sheet().labs))))
    return found


def risks(of: Invented, packed: Packed, as_of: np.ndarray, disease: str) -> np.ndarray:
    """Give the risk of a first record within the year."""
    outcome = Outcome(name=disease, codes=CODES[disease])
    question = Forecast(outcomes=(outcome,), horizons_days=(HORIZON,), interval=False)
    index = Index(np.arange(packed.n_patients), as_of)
    return ask(of.model, packed, [question], index, limits=EVERYTHING).risk[:, 0].astype(float)


def asked(of: Invented, some: list[Case]) -> list[Case]:
    """Give cases with their risk."""
    result = list(some)
    for disease in USUAL:
        rows = [n for n, one in enumerate(some) if one.disease == disease]
        if rows:
            packed = concatenate([some[n].packed for n in rows])
            for n, risk in zip(
                rows, risks(of, packed, np.array([some[n].as_of for n in rows]), disease), strict=True
            ):
                result[n] = replace(some[n], risk=float(risk))
    return result


def tried(of: Invented, some: list[Case], offered: tuple[Choice, ...]) -> list[list[Tried]]:
    """Suppose every test not yet done of every case, all at once, with all results that may come."""
    found: list[list[Tried]] = [[] for _ in some]
    for disease in USUAL:
        rows = [n for n, one in enumerate(some) if one.disease == disease]
        if not rows:
            continue
        packed = concatenate([some[n].packed for n in rows])
        index = Index(np.arange(len(rows)), np.array([some[n].as_of for n in rows]))
        at, states = place(packed, index), of.model.encode(packed)
        parts, owner = [], []
        for choice in offered:
            code = of.model.vocabulary.codes[choice.code]
            come = of.model.measured(states, at.moment, at.elapsed_days, code)
            for k, n in enumerate(rows):
                if choice.name not in some[n].done:
                    value, weight = results_of(come, k)
                    results = [(Result(choice.code, float(one)),) for one in value]
                    parts.append(suppose(some[n].packed, results, some[n].as_of))
                    owner.append((n, choice, value, weight))
        as_of = np.concatenate([index.as_of for _, index in parts])
        risk = risks(of, concatenate([one for one, _ in parts]), as_of, disease)
        ends = np.cumsum([len(value) for _, _, value, _ in owner])[:-1]
        for (n, choice, value, weight), under in zip(owner, np.split(risk, ends), strict=True):
            found[n].append(Tried(choice, value, weight, under))
    return found


def advised(
    of: Invented, some: list[Case], offered: tuple[Choice, ...], price: float, most: int = MOST_TESTS
) -> list[Case]:
    """Do the test that is worth most for its cost, at most so many times, until none is worth it."""
    now = list(some)
    open_ = set(range(len(now)))
    for _ in range(most):
        rows = sorted(open_)
        for n, options in zip(rows, tried(of, [now[n] for n in rows], offered), strict=True):
            best = max(
                options,
                key=lambda one: (one.worth(ACT_ABOVE) / one.choice.cost, -one.choice.cost),
                default=None,
            )
            if best is None or best.worth(ACT_ABOVE) < price / 10_000 * best.choice.cost:
                open_.discard(n)
            else:
                now[n] = now[n].after(best.choice, of.model.vocabulary.codes[best.choice.code])
        now = asked(of, now)
    return now


def done(
    of: Invented, some: list[Case], offered: tuple[Choice, ...], names: list[tuple[str, ...]]
) -> list[Case]:
    """Do given tests of each case."""
    by_name = {one.name: one for one in offered}
    now = []
    for one, wanted in zip(some, names, strict=True):
        for name in wanted:
            one = one.after(by_name[name], of.model.vocabulary.codes[by_name[name].code])
        now.append(one)
    return asked(of, now)


def benefit(some: list[Case]) -> np.ndarray:
    """Give each case's net true positives in 10,000."""
    harm = ACT_ABOVE / (1 - ACT_ABOVE)
    gain = [(1.0 if one.ill else -harm) * (one.risk > ACT_ABOVE) * one.weight for one in some]
    return 10_000 * np.array(gain) / len(USUAL)


def interval(each: np.ndarray, some: list[Case]) -> str:
    """Give a sum over cases with its 90% interval, by draws of patients."""
    _, who = np.unique([int(one.packed.subject[0]) for one in some], return_inverse=True)
    by_patient = np.bincount(who, each)
    draws = np.random.default_rng(3).integers(len(by_patient), size=(2000, len(by_patient)))
    low, high = np.quantile(by_patient[draws].sum(axis=1), [0.05, 0.95])
    return f"{each.sum():.0f} ({low:.0f} to {high:.0f})"


def row(name: str, some: list[Case], beside: list[Case]) -> str:
    """Lay out what a policy achieves, and how much more another one brings the same cases."""
    acts, ill = np.array([one.risk > ACT_ABOVE for one in some]), np.array([one.ill for one in some])
    weight = np.array([one.weight for one in some]) / len(USUAL)
    n_tests = (np.array([len(one.done) for one in some]) * weight).sum()
    paid = (np.array([one.paid for one in some]) * weight).sum()
    return (
        f"| {name} | {n_tests:.2f} | {paid:.2f} | {acts[ill].mean():.0%} | {(~acts[~ill]).mean():.0%} |"
        f" {((acts == ill) * weight).sum():.1%} | {interval(benefit(some), some)} |"
        f" {interval(benefit(beside) - benefit(some), some)} |"
    )


def main(folder: Path, n_patients: int = 4000, seed: int = 11) -> None:
    """Print the table."""
    spec = hospital(n_patients, seed)
    of = made(folder, spec)
    question = NextTest(
        outcome=Outcome(name="any", codes=("ICD10CM/E11",)),
        horizon_days=HORIZON,
        act_above=ACT_ABOVE,
        tests=OFFERED,
    )
    offered, rng = choices(question, of.model.vocabulary), np.random.default_rng(2)
    start = asked(of, cases(of, spec, 1))
    print(f"{len(start)} cases, {sum(one.ill for one in start)} ill; one acts above {ACT_ABOVE:.0%}")
    policies = {
        "no test": start,
        "usual test for the suspicion": done(of, start, offered, [USUAL[one.disease] for one in start]),
        "check-up (4 tests)": done(of, start, offered, [CHECK_UP] * len(start)),
    }
    for n in (1, 2, 3, 5):
        order = [tuple(rng.permutation(OFFERED)[:n]) for _ in start]
        policies[f"random order, {n}"] = done(of, start, offered, order)
        policies[f"advised order, {n}"] = advised(of, start, offered, 0.0, n)
    policies["everything (7 tests)"] = done(of, start, offered, [OFFERED] * len(start))
    for price in PRICES:
        name = f"advised, while a dollar brings {price:g} in 10,000"
        policies[name] = advised(of, start, offered, price)
    print(
        "| policy | tests | USD a case | ill acted for | healthy left alone | right decisions |"
        " net true positives in 10,000 | five as advised bring more |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, some in policies.items():
        print(row(name, some, policies["advised order, 5"]))


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
