"""In: the tables. Out: for each disease the smallest Markov chain that tells its risk exactly.

Only what can change a disease or death belongs to its chain. The core is what changes death, and what changes
that: four diseases, 16 states. A chronic disease adds itself (free or hidden; diagnosed is the end). A strike
adds the diseases that make it likelier, with the stages that matter: hidden, diagnosed, without or with the
drug.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from residency.simulation.course import Course
from residency.simulation.intensities import Effects, Intensities, effects
from residency.simulation.medicine import hospital
from residency.simulation.people import People

FREE, HIDDEN, FOUND, DRUG = 0, 1, 2, 3


@dataclass(frozen=True)
class Part:
    """One kind of change, and what its rate is made of.

    Attributes:
        kind: onset, finding of a disease, strike of the target, death, a strike of another kind that kills.
        of: the disease, or the happening.
        arm: for a finding, which drug follows; -1 where that does not matter.
        levels: for a strike, the stages of the diseases that act by stage.
        given: stages that hold in all states.
    """

    kind: Literal["onset", "found", "strike", "death", "fatal"]
    of: int
    arm: int = -1
    levels: tuple[tuple[int, int], ...] = ()
    given: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Chain:
    """The states of one chain, and what each rate does; the last state is the target's diagnosis.

    Attributes:
        levels: of each disease in the chain: 2 (free, begun) to 4 (free, hidden, without and with the drug).
        parts: the kinds of change.
        matrix: what one unit of each does.
    """

    levels: dict[int, int]
    parts: tuple[Part, ...]
    matrix: Float64[np.ndarray, "part state state"]

    @property
    def n_states(self) -> int:
        """States, the end included."""
        return int(self.matrix.shape[-1])


def core(ratio: Effects) -> set[int]:
    """Give the diseases that change death, and those that change these."""
    kills = ratio.death != 0
    kills |= (ratio.happening[:, ratio.fatal > 0] != 0).any(axis=1)
    return _ancestors({int(one) for one in np.flatnonzero(kills)}, ratio)


def _ancestors(of: set[int], ratio: Effects) -> set[int]:
    more = {int(one) for on in of for one in np.flatnonzero(ratio.onset[:, on])} | of
    return of if more == of else _ancestors(more, ratio)


@cache
def chain(target: int) -> Chain:
    """Lay out the chain of one disease, by its number in the tables."""
    ratio = effects()
    k = len(ratio.death)
    if target < k:
        return _chain(dict.fromkeys(sorted(core(ratio) | _ancestors({target}, ratio)), 2), target, -1)
    h = target - k
    acts = (ratio.happening[:, h] != 0) | (ratio.known[:, h] != 0) | (ratio.pace[:k, h] != 0)
    levels = dict.fromkeys(sorted(core(ratio) | _ancestors(set(np.flatnonzero(acts).tolist()), ratio)), 2)
    levels |= {int(one): 3 for one in np.flatnonzero(ratio.known[:, h])}
    if ratio.treatment[h] >= 0:
        levels[_trigger(ratio.treatment[h])] = 4
    return _chain(levels, -1, h)


@cache
def aftermath(h: int, arm: int) -> Chain:
    """Lay out the chain of a happening after its treatment was decided on: the core and the end."""
    ratio = effects()
    levels = dict.fromkeys(sorted(core(ratio)), 2)
    return _chain(levels, -1, h, fixed=((_trigger(ratio.treatment[h]), FOUND + arm),))


def _trigger(treatment: int) -> int:
    names = [one.name for one in hospital().disease]
    return names.index(hospital().treatment[treatment].of)


def _chain(
    levels: dict[int, int], chronic: int, happening: int, *, fixed: tuple[tuple[int, int], ...] = ()
) -> Chain:
    ratio = effects()
    parts = _parts(levels, chronic, happening, fixed)
    states = list(product(*(range(n) for n in levels.values())))
    place = {state: i for i, state in enumerate(states)}
    matrix = np.zeros((len(parts), len(states) + 1, len(states) + 1))
    for state, i in place.items():
        now = dict(zip(levels, state, strict=True))
        has = np.array([float(now.get(one, 0) > 0) for one in range(len(ratio.death))])
        for part, into in zip(parts, matrix, strict=True):
            rate, to = _change(part, now, has, chronic)
            if rate:
                into[i, i] -= rate
            if rate and to is not None:
                into[i, place[tuple(to.values())] if to else len(states)] += rate
    return Chain(levels, parts, matrix)


def _parts(
    levels: dict[int, int], chronic: int, happening: int, fixed: tuple[tuple[int, int], ...]
) -> tuple[Part, ...]:
    ratio = effects()
    parts = [Part("onset", one) for one in levels]
    parts += [Part("found", one) for one, n in levels.items() if n == 3 or one == chronic]
    parts += [Part("found", one, arm) for one, n in levels.items() if n == 4 for arm in (0, 1)]
    parts += [Part("death", 0)]
    parts += [Part("fatal", int(h)) for h in np.flatnonzero(ratio.fatal) if h != happening]
    if happening >= 0:
        by_stage = [one for one, n in levels.items() if n > 2 or ratio.pace[one, happening] != 0]
        by_stage = [one for one in by_stage if one not in dict(fixed)]
        for combination in product(*(range(levels[one]) for one in by_stage)):
            stages = tuple(zip(by_stage, combination, strict=True))
            parts.append(Part("strike", happening, levels=stages, given=fixed))
    return tuple(parts)


def _change(
    part: Part, now: dict[int, int], has: Float64[np.ndarray, " chronic"], target: int
) -> tuple[float, dict[int, int] | None]:
    """Say how often a part leaves a state, and for which: {} is the end, None is death."""
    ratio = effects()
    if part.kind == "death":
        return float(np.exp(has @ ratio.death)), None
    if part.kind == "fatal":
        return float(np.exp(has @ ratio.happening[:, part.of])), None
    if part.kind == "onset":
        rate = float(np.exp(has @ ratio.onset[:, part.of])) * (now[part.of] == FREE)
        return rate, {**now, part.of: HIDDEN}
    if part.kind == "found":
        rate = float(ratio.diagnosis[part.of]) * (now[part.of] == HIDDEN)
        return rate, {} if part.of == target else {**now, part.of: FOUND + max(part.arm, 0)}
    here = all(now[one] == level for one, level in part.levels)
    staged = dict((*part.levels, *part.given))
    rest = np.array([0.0 if one in staged else float(has[one]) for one in range(len(has))])
    return float(np.exp(rest @ ratio.happening[:, part.of])) * here, {}


def speeds(layout: Chain, people: People, rates: Intensities) -> Float64[np.ndarray, "patient year part"]:
    """Give each part's rate per day for each person and year."""
    return np.stack([_speed(part, people, rates) for part in layout.parts], axis=2)


def _speed(part: Part, people: People, rates: Intensities) -> Float64[np.ndarray, "patient year"]:
    if part.kind == "onset":
        return rates.onset[..., part.of]
    if part.kind == "death":
        return rates.death
    if part.kind == "fatal":
        factor = np.array([effects().fatal[part.of]])
    elif part.kind == "found":
        return _found(part, rates)
    else:
        factor = np.exp(_power(part, people, rates))
    strikes: np.ndarray = rates.happening[..., part.of] * factor[:, None]
    return strikes


def _found(part: Part, rates: Intensities) -> Float64[np.ndarray, "patient year"]:
    if part.arm < 0:
        return np.ones_like(rates.death)
    drug = next(i for i in range(rates.propensity.shape[-1]) if _trigger(i) == part.of)
    chance: np.ndarray = rates.propensity[..., drug]
    return chance if part.arm else 1 - chance


def _power(part: Part, people: People, rates: Intensities) -> Float64[np.ndarray, " patient"]:
    """Add up what the stages do to a strike, for each person."""
    ratio, h = effects(), part.of
    power = np.zeros(len(people))
    for one, level in (*part.levels, *part.given):
        chronic = one < len(ratio.death)
        if level > FREE:
            power += ratio.pace[one, h] * np.log(people.pace[:, one])
        if level > FREE and chronic:
            power += ratio.happening[one, h]
        if level >= FOUND and chronic:
            power += ratio.known[one, h]
        if level >= FOUND and ratio.treatment[h] >= 0 and _trigger(ratio.treatment[h]) == one:
            power += rates.arm[:, h, level - FOUND]
    return power


def state_at(
    layout: Chain, course: Course, day: Float64[np.ndarray, "patient moment"]
) -> Int64[np.ndarray, "patient moment"]:
    """Say in which state each patient is at each moment."""
    state = np.zeros(day.shape, np.int64)
    for one, n in layout.levels.items():
        level = (course.onset[:, one, None] <= day).astype(np.int64)
        found = course.diagnosis[:, one, None] <= day
        level += found * (n > 2)
        if n == 4:
            drug = next(i for i in range(course.taken.shape[1]) if _trigger(i) == one)
            level += found * (course.taken[:, drug, None] == 1)
        state = state * n + level
    return state
