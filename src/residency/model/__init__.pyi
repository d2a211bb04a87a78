from .futures import Asked, Futures, RolloutSpec, rollouts
from .measuring import Measured
from .opened import Model, States
from .spec import ModelSpec
from .training import train

__all__ = [
    "Asked",
    "Futures",
    "Measured",
    "Model",
    "ModelSpec",
    "RolloutSpec",
    "States",
    "rollouts",
    "train",
]
