"""In: what a pass of the network gave. Out: states of moments, with what stood on record at each."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from residency.model.standing import Standing


@dataclass(frozen=True)
class States:
    """What the model knows at each moment.

    Attributes:
        z: the trunk's state, one row a moment, patient by patient.
        record: what stands in the record at each moment.
        offset: where each patient's moments begin.
        first: whether a moment is a patient's first, which has no time of its own.
    """

    z: Float32[Tensor, "moment width"]
    record: Standing
    offset: Int64[np.ndarray, " patient_and_1"]
    first: Bool[np.ndarray, " moment"]

    @classmethod
    def of_all(
        cls,
        z: Float32[Tensor, "moment width"],
        record: Standing,
        offset: Int64[np.ndarray, " patient_and_1"],
    ) -> "States":
        """Give the states of every moment of each patient."""
        first = np.zeros(len(z), bool)
        first[offset[:-1]] = True
        return cls(z, record, offset, first)

    def hours_since(
        self, moment: Int64[np.ndarray, " index"], elapsed_days: np.ndarray
    ) -> Float32[Tensor, " index"]:
        """Give hours since each moment; none after a patient's first."""
        hours = np.where(self.first[moment], 0.0, np.maximum(elapsed_days, 0.0) * 24.0)
        return torch.from_numpy(hours.astype(np.float32))
