from .crew import Crew, crew
from .joint import train_together
from .launching import train_on_ray

__all__ = ["Crew", "crew", "train_on_ray", "train_together"]
