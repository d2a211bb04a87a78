from .simulating import simulate
from .spec import HospitalSpec

__all__ = ["HospitalSpec", "simulate"]
