"""In: what a trained network says of tuning patients, and what came. Out: corrections for the model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from torch.nn import functional

from residency.contract.errors import LineageError

SLOPES: Final = (0.4, 0.55, 0.7, 0.85, 1.0, 1.15, 1.3)  # that hazards are tried with
_SLOPE_APART: Final = 0.3  # from 1, as is thought before any patient was looked at
_PRIOR_EVENTS: Final = 5.0  # a correction leans on "none" by as much as this many events
_PRIOR_PATIENTS: Final = 20.0  # the same of hazards, in patients with an event: a network is rarely far off
_PULL: Final = 1.0  # of slope to 1 and intercept to 0


class _File(msgspec.Struct, frozen=True):
    labels: tuple[tuple[float, float], ...]
    hazards: tuple[tuple[float, ...], tuple[float, ...]]
    slopes: tuple[float, float]
    values: tuple[tuple[float, ...], ...] = ()
    later: tuple[float, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Corrections from the tuning patients.

    Attributes:
        labels: slope and intercept on the logit of each task.
        hazards: factor on the hazards of each target: of first occurrences, and of later ones.
        slopes: on what the network says beyond the usual log hazards, of first occurrences and of later ones.
        values: factor on each bin of the next result of each code with values; empty to correct nothing.
        later: factor on the hazards of its later results; empty to correct nothing.
    """

    labels: tuple[tuple[float, float], ...]
    hazards: tuple[tuple[float, ...], tuple[float, ...]]
    slopes: tuple[float, float]
    values: tuple[tuple[float, ...], ...] = ()
    later: tuple[float, ...] = ()

    @property
    def factors(self) -> Float32[np.ndarray, "class target"]:
        """The factor on each target's hazards."""
        return np.array(self.hazards, np.float32)

    def with_values(
        self, first: Float64[np.ndarray, "2 valued class"], later: Float64[np.ndarray, "2 valued"]
    ) -> "Calibration":
        """Add what corrects values: of observed and expected results, first ones by bin, and later ones."""
        bins = tuple(factors(seen, said) for seen, said in zip(*first, strict=True))
        return replace(self, values=bins, later=factors(*later))

    def of_value(self, code: int) -> tuple[Float32[np.ndarray, " class"], float]:
        """Give the factors on the bins and on the later results of one of the codes with values."""
        if not self.values:
            return np.ones(1, np.float32), 1.0
        return np.array(self.values[code], np.float32), self.later[code]

    @classmethod
    def none(cls, n_tasks: int, n_targets: int) -> "Calibration":
        """Correct nothing."""
        return cls(((1.0, 0.0),) * n_tasks, ((1.0,) * n_targets,) * 2, (1.0, 1.0))

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Read `calibration.json`.

        Raises:
            LineageError: the file is missing or is not what it should be.
        """
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError):
            raise LineageError("the calibration cannot be read", where=path.name) from None
        return cls(file.labels, file.hazards, file.slopes, file.values, file.later)

    def write(self, path: Path) -> None:
        """Write `calibration.json`."""
        file = _File(self.labels, self.hazards, self.slopes, self.values, self.later)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1))


def factors(
    observed: Float64[np.ndarray, " target"], expected: Float64[np.ndarray, " target"]
) -> tuple[float, ...]:
    """Give observed over expected events, drawn to 1 where there are few.

    Example:
        >>> factors(np.array([0.0, 995.0]), np.array([0.0, 1995.0]))
        (1.0, 0.5)
    """
    factor = (observed + _PRIOR_EVENTS) / (expected + _PRIOR_EVENTS)
    return tuple(round(float(f), 6) for f in factor)


def hazard_corrections(
    observed: Float64[np.ndarray, " target"],
    expected: Float64[np.ndarray, "slope target"],
    score: Float64[np.ndarray, "slope target"],
    worth: Float64[np.ndarray, " target"],
) -> tuple[tuple[float, ...], float]:
    """Choose one of `SLOPES` for all targets by its likelihood, and each target's factor, near that of all.

    A network that has learnt its patients by heart says too much of the others: hazards too far from the
    usual, on both sides. The likelihood is that of piecewise-constant hazards. Instants of one patient tell
    of the same events: everything is counted in patients, else few of them would be taken for many.

    Args:
        observed: patients with an event.
        expected: the same, at each slope.
        score: log hazards at the events, added up.
        worth: how much each target counts for what is common to all.

    Returns:
        Factors, and the slope.
    """
    usual = (worth * observed).sum() / np.maximum((worth * expected).sum(axis=1), 1e-9)
    usual = np.where(observed.sum() > 0, usual, 1.0)[:, None]
    factor = (observed + _PRIOR_PATIENTS * usual) / (expected + _PRIOR_PATIENTS)
    likelihood = (worth * (score + observed * np.log(factor) - factor * expected)).sum(axis=1)
    away = (np.array(SLOPES) - 1.0) / _SLOPE_APART
    chosen = int((likelihood - 0.5 * away**2).argmax())
    return tuple(round(float(f), 6) for f in factor[chosen]), SLOPES[chosen]


def label_line(
    logit: Float32[Tensor, "label head"], value: Float32[Tensor, " label"], pull: float = _PULL
) -> tuple[float, float]:
    """Give the slope and intercept with which the answer fits labels best (Cox, 1958); 1 and 0 of one class.

    The answer is the mean of the heads' probabilities, which lies above that of their mean logit where
    labels are rare.

    Args:
        logit: each head's.
        value: came.
        pull: towards 1 and 0; more where labels of few patients repeat each other.
    """
    if len(value) == 0 or bool((value == value[0]).all()):
        return 1.0, 0.0
    x, y = logit.double(), value.double()
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")
    none = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def loss() -> Tensor:
        optimiser.zero_grad()
        said = torch.sigmoid(line[0] * x + line[1]).mean(dim=1)
        fit = functional.binary_cross_entropy(said, y, reduction="sum")
        value_ = (fit + pull * ((line - none) ** 2).sum()) / len(y)
        value_.backward()  # type: ignore[no-untyped-call]
        return value_

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    slope, intercept = (round(float(v), 6) for v in line.detach())
    return max(slope, 0.05), intercept
