from .crew import Crew, crew
from .joint import train_together

__all__ = ["Crew", "crew", "train_together"]
