"""In: hazards that trees expect, and what came. Out: the same hazards, as high and as far apart as what came.

Boosted trees with a Poisson likelihood lift few high risks fast and lower the many low ones slowly: of the
fifth of instants with the lowest risk within a year, half as many fell ill as they expected (LOG). More trees
mend that and learn patients by heart. So trees stay few, and what comes at each height of risk corrects them:
each patient's trees never saw that patient, so the comparison is a fair one.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

LEAST: Final = 100  # patients with the record: with fewer the correction does more harm than good
_KNOTS: Final = (0.2, 0.5, 0.8, 0.95)  # shares of the instants
_PRIOR_PATIENTS: Final = 30.0  # with the record, who say that nothing need be corrected


def levelled(
    rate: Float32[np.ndarray, " row"],
    days: Float32[np.ndarray, " row"],
    came: Float32[np.ndarray, " row"],
    n_patients: int,
) -> Float32[np.ndarray, " row"]:
    """Correct log hazards by a line that bends at some heights of risk, fitted by the Poisson likelihood.

    Args:
        rate: hazards per day; 0 where nothing is expected.
        days: at risk.
        came: events.
        n_patients: with an event: instants of one patient tell of the same.
    """
    asked = (days > 0) & (rate > 0)
    if n_patients < LEAST or not asked.any():
        return rate
    from sklearn.linear_model import PoissonRegressor

    height = np.log(rate[asked].astype(np.float64))
    cut = np.quantile(height, _KNOTS)
    expected = rate[asked].astype(np.float64) * days[asked]
    columns = _columns(height, cut)
    mean, spread = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-9)
    line = PoissonRegressor(alpha=_PRIOR_PATIENTS / n_patients, fit_intercept=False, max_iter=500)
    line.fit(_beside_one((columns - mean) / spread), came[asked] / expected, sample_weight=expected)
    result = rate.copy()
    known = rate > 0
    height = np.log(rate[known].astype(np.float64))
    result[known] *= line.predict(_beside_one((_columns(height, cut) - mean) / spread))
    return result


def _columns(
    height: Float64[np.ndarray, " row"], cut: Float64[np.ndarray, " knot"]
) -> Float64[np.ndarray, "row column"]:
    return np.column_stack([height, np.maximum(height[:, None] - cut, 0.0)])


def _beside_one(columns: Float64[np.ndarray, "row column"]) -> Float64[np.ndarray, "row column_and_1"]:
    return np.column_stack([np.ones(len(columns)), columns])
