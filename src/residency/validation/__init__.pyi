from .baseline import BaselineSpec
from .endpoints import Asking, validate_endpoints
from .examination import ValidationSpec, validate
from .scores import Offer, validate_scores
from .seeds import Summary, summarise
from .tasks import Task, load_tasks

__all__ = [
    "Asking",
    "BaselineSpec",
    "Offer",
    "Summary",
    "Task",
    "ValidationSpec",
    "load_tasks",
    "summarise",
    "validate",
    "validate_endpoints",
    "validate_scores",
]
