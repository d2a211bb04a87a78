from .advice import Advice, Bounds, Choice
from .cost import Estimate
from .making import Plan, estimate, make_plan, read_plan
from .spec import PlanSpec

__all__ = ["Advice", "Bounds", "Choice", "Estimate", "Plan", "PlanSpec", "estimate", "make_plan", "read_plan"]
