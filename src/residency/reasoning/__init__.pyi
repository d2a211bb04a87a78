from .abstaining import Limits
from .answers import Answers, Column
from .asking import ask
from .incidence import cumulative_incidence
from .index import Index
from .plan import Examined

__all__ = ["Answers", "Column", "Examined", "Index", "Limits", "ask", "cumulative_incidence"]
