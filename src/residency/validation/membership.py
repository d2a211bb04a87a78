"""In: how well a model fits each patient, and a way to train it again. Out: whether it gives patients away.

Likelihood-ratio attack (LiRA, Carlini et al. 2022), patient as unit: the model is trained again on random
halves of the patients ("shadows"). For each patient that tells how well a model fits that has seen them, and
one that has not; the attack is the ratio of the two, at how well the model in question fits. What cannot
tell is *insufficient*: neither a pass nor a fail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

Fit = Callable[[Bool[np.ndarray, " patient"]], Float[np.ndarray, " patient"]]
"""Trains on the patients of a mask, and gives the mean log-likelihood of each patient's outcomes."""

Outcome = Literal["pass", "fail", "insufficient"]
LIMIT: Final = 0.55  # of the attack's AUC, at the upper end of its interval
LIMIT_OF_GROUP: Final = 0.60
POWER: Final = 0.8
STRICT_FPR: Final = 0.001
NEEDED_AT_STRICT: Final = 10_000  # non-members, to tell a share at that rate of false alarms
LIMIT_AT_STRICT: Final = 0.003


@dataclass(frozen=True)
class Attacked:
    """What an attack found.

    Attributes:
        members: patients who taught the model.
        others: patients who did not.
        auroc: of telling them apart; .5 is nothing.
        low: end of its 95% interval.
        high: end of its 95% interval.
        power: chance to pass, were there nothing to find.
        found_at_strict: share of members found at one false alarm in 1,000; None under 10,000 others.
        outcome: of the gate.
    """

    members: int
    others: int
    auroc: float
    low: float
    high: float
    power: float
    found_at_strict: float | None
    outcome: Outcome


def attack(
    fit: Fit, member: Bool[np.ndarray, " patient"], *, shadows: int = 16, seed: int = 0
) -> Float[np.ndarray, " patient"]:
    """Attack a model; high is likely a member.

    Args:
        fit: trains a model as the one in question was trained.
        member: who taught the model in question.
        shadows: models that are trained besides; each on a random half, every patient in half of them.
        seed: of the halves.
    """
    inside = halves(len(member), shadows, seed)
    return ratio(np.stack([fit(one) for one in inside]), inside, fit(member))


def halves(n: int, shadows: int, seed: int) -> Bool[np.ndarray, "shadow patient"]:
    """Draw random halves, in pairs, so that every patient is in and out as often."""
    rng, inside = np.random.default_rng(seed), np.zeros((shadows, n), dtype=bool)
    for first in range(0, shadows, 2):
        half = rng.permutation(n) < n // 2
        inside[first], inside[first + 1 : first + 2] = half, ~half
    return inside


def ratio(
    likelihood: Float[np.ndarray, "shadow patient"],
    inside: Bool[np.ndarray, "shadow patient"],
    mine: Float[np.ndarray, " patient"],
) -> Float[np.ndarray, " patient"]:
    """Give the likelihood ratio of having been in to having been out; high is likely a member.

    Args:
        likelihood: mean log-likelihood of each patient by each shadow.
        inside: who taught each shadow.
        mine: by the model in question.
    """
    fits = confidence(likelihood)
    seen, unseen = _mean(fits, inside), _mean(fits, ~inside)
    away = np.where(inside, fits - seen, fits - unseen)
    spread_in, spread_out = (max(float(away[mask].std()), 1e-6) for mask in (inside, ~inside))
    now = confidence(mine)
    found: np.ndarray = stats.norm.logpdf(now, seen, spread_in) - stats.norm.logpdf(now, unseen, spread_out)
    return found


def confidence(log_likelihood: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Give log p / (1 − p) of a likelihood: nearer to normal than the likelihood."""
    log_p = np.clip(log_likelihood, -30.0, -1e-9)
    found: np.ndarray = log_p - np.log(-np.expm1(log_p))
    return found


def _mean(
    values: Float[np.ndarray, "shadow patient"], mask: Bool[np.ndarray, "shadow patient"]
) -> Float[np.ndarray, " patient"]:
    found: np.ndarray = (values * mask).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    return found


def judge(
    score: Float[np.ndarray, " patient"], member: Bool[np.ndarray, " patient"], *, limit: float = LIMIT
) -> Attacked:
    """Say whether an attack's scores give members away.

    Args:
        score: the attack's, high for likely members.
        member: who is one.
        limit: of the AUC.
    """
    mine, others = np.sort(score[member]), np.sort(score[~member])
    if min(len(mine), len(others)) < 2:
        return Attacked(len(mine), len(others), float("nan"), 0.0, 1.0, 0.0, None, "insufficient")
    above = _rank(mine, others)
    below = 1 - _rank(others, mine)
    auroc = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / len(mine) + below.var(ddof=1) / len(others)))  # DeLong
    low, high = max(auroc - 1.96 * error, 0.0), min(auroc + 1.96 * error, 1.0)
    null = np.sqrt((len(mine) + len(others) + 1) / (12 * len(mine) * len(others)))
    power = float(stats.norm.cdf((limit - 0.5) / null - 1.96))
    strict = _found(mine, others) if len(others) >= NEEDED_AT_STRICT else None
    outcome = _outcome((low, high), power, strict, limit)
    return Attacked(len(mine), len(others), auroc, low, high, power, strict, outcome)


def _outcome(ends: tuple[float, float], power: float, strict: float | None, limit: float) -> Outcome:
    if ends[0] > limit or (strict is not None and strict > 2 * LIMIT_AT_STRICT):
        return "fail"
    if power < POWER:
        return "insufficient"
    return "pass" if ends[1] <= limit and (strict is None or strict <= LIMIT_AT_STRICT) else "fail"


def _rank(
    values: Float[np.ndarray, " value"], among: Float[np.ndarray, " other"]
) -> Float[np.ndarray, " value"]:
    """Give the share of the others below each value; ties count half."""
    below, upto = np.searchsorted(among, values, "left"), np.searchsorted(among, values, "right")
    share: np.ndarray = (below + upto) / (2 * len(among))
    return share


def _found(mine: Float[np.ndarray, " member"], others: Float[np.ndarray, " other"]) -> float:
    threshold = others[-int(len(others) * STRICT_FPR) - 1]
    return float((mine > threshold).mean())


def judge_gain(
    members: Bool[np.ndarray, " member"], others: Bool[np.ndarray, " other"], *, limit: float
) -> Attacked:
    """Say whether something is guessed more often of members than of others; `auroc` holds the gain.

    Args:
        members: whether the guess was right, of each.
        others: the same of non-members: what anybody could guess.
        limit: of the gain, at the upper end of its interval.
    """
    n, m = len(members), len(others)
    if min(n, m) < 2:
        return Attacked(n, m, float("nan"), -1.0, 1.0, 0.0, None, "insufficient")
    gain, share = float(members.mean() - others.mean()), float(np.concatenate([members, others]).mean())
    error = float(np.sqrt(members.var(ddof=1) / n + others.var(ddof=1) / m))
    null = max(float(np.sqrt(share * (1 - share) * (1 / n + 1 / m))), 1e-9)
    power = float(stats.norm.cdf(limit / null - 1.96))
    low, high = gain - 1.96 * error, gain + 1.96 * error
    return Attacked(n, m, gain, low, high, power, None, _outcome((low, high), power, None, limit))


def worst_group(
    score: Float[np.ndarray, " patient"], member: Bool[np.ndarray, " patient"], group: np.ndarray
) -> tuple[str, Attacked]:
    """Give the group whose members are found best, judged by its own limit."""
    found = {
        str(value): judge(score[group == value], member[group == value], limit=LIMIT_OF_GROUP)
        for value in np.unique(group)
    }
    return max(found.items(), key=lambda item: (item[1].outcome == "fail", np.nan_to_num(item[1].auroc)))
