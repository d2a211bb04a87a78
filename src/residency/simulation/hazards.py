"""In: rates free of illness, and who has what. Out: the rates that hold then."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.intensities import Intensities, effects
from residency.simulation.people import People


@dataclass(frozen=True)
class State:
    """What people have at a moment.

    Attributes:
        has: chronic diseases that have begun.
        known: diseases on record, acute ones too.
        taken: arm of each treatment, 1 for the drug; -1 while it is not decided on.
    """

    has: Bool[np.ndarray, "*moment chronic"]
    known: Bool[np.ndarray, "*moment disease"]
    taken: Int64[np.ndarray, "*moment treatment"]


def onset_rates(
    base: Float64[np.ndarray, "*moment chronic"], state: State
) -> Float64[np.ndarray, "*moment chronic"]:
    """Give the rate of each onset; 0 for what has begun."""
    rate: np.ndarray = base * np.exp(state.has @ effects().onset) * ~state.has
    return rate


def death_rates(base: Float64[np.ndarray, "*moment"], state: State) -> Float64[np.ndarray, "*moment"]:
    """Give the rate of dying, strikes that kill apart."""
    rate: np.ndarray = base * np.exp(state.has @ effects().death)
    return rate


def strike_rates(
    base: Float64[np.ndarray, "*moment happening"],
    state: State,
    log_pace: Float64[np.ndarray, "*moment disease"],
    arm: Float64[np.ndarray, "*moment happening 2"],
) -> Float64[np.ndarray, "*moment happening 2"]:
    """Give the rate of each happening under each arm; 0 before the disease that it must follow.

    Until its treatment is decided on, and where none changes it, both arms are alike.
    """
    ratio, n = effects(), state.has.shape[-1]
    begun = np.concatenate([state.has, state.known[..., n:]], axis=-1)
    power = state.has @ ratio.happening + state.known[..., :n] @ ratio.known
    power = power + (begun * log_pace) @ ratio.pace
    always = np.ones(begun.shape[:-1], bool)
    able = np.stack([state.known[..., of] if of >= 0 else always for of in ratio.of], axis=-1)
    asked = np.stack([state.taken[..., t] >= 0 if t >= 0 else ~always for t in ratio.treatment], axis=-1)
    rate: np.ndarray = (base * np.exp(power) * able)[..., None] * np.exp(arm * asked[..., None])
    return rate


def arm_taken(taken: Int64[np.ndarray, "*moment treatment"]) -> Bool[np.ndarray, "*moment happening"]:
    """Say for each happening whether the drug that changes it is taken."""
    never = np.zeros(taken.shape[:-1], bool)
    return np.stack([taken[..., t] == 1 if t >= 0 else never for t in effects().treatment], axis=-1)


def rates_at(
    people: People, rates: Intensities, state: State, year: Int64[np.ndarray, " moment"]
) -> tuple[Float64[np.ndarray, "patient moment chronic"], Float64[np.ndarray, "patient moment happening"]]:
    """Give the rates of onsets and, under the arm taken, of happenings.

    Args:
        people: of some patients.
        rates: theirs, from year 0.
        state: of each patient and moment.
        year: of each moment, from entry.
    """
    log_pace = np.broadcast_to(np.log(people.pace)[:, None], state.known.shape)
    arm = np.broadcast_to(rates.arm[:, None], (*state.known.shape[:2], *rates.arm.shape[1:]))
    strikes = strike_rates(rates.happening[:, year], state, log_pace, arm)
    taken = arm_taken(state.taken)
    return onset_rates(rates.onset[:, year], state), np.where(taken, strikes[..., 1], strikes[..., 0])
