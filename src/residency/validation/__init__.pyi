from .baseline import BaselineSpec
from .endpoints import Asking, validate_endpoints
from .examination import ValidationSpec, validate
from .leakage import Suspect, look_for_leaks
from .scores import Offer, validate_scores
from .seeds import Summary, summarise
from .tasks import Task, load_tasks

__all__ = [
    "Asking",
    "BaselineSpec",
    "Offer",
    "Summary",
    "Suspect",
    "Task",
    "ValidationSpec",
    "load_tasks",
    "look_for_leaks",
    "summarise",
    "validate",
    "validate_endpoints",
    "validate_scores",
]
