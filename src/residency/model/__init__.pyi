from .opened import Model, States
from .spec import ModelSpec
from .training import train

__all__ = ["Model", "ModelSpec", "States", "train"]
