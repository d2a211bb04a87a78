from .futures import Asked, Futures, RolloutSpec, rollouts
from .measuring import Measured
from .opened import Model
from .spec import ModelSpec
from .states import States
from .thresholds import Inside, Range, values_inside
from .training import train

__all__ = [
    "Asked",
    "Futures",
    "Inside",
    "Measured",
    "Model",
    "ModelSpec",
    "Range",
    "RolloutSpec",
    "States",
    "rollouts",
    "train",
    "values_inside",
]
