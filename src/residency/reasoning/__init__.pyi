from .abstaining import Limits
from .answers import Answers, Column
from .asking import ask
from .chart import Chart, chart_of
from .incidence import cumulative_incidence
from .index import Index
from .phrasing import phrased, speaker_of
from .plan import Examined
from .telling import forecasts_in, needs, refuse_unknown, tell
from .treatment import resolved

__all__ = [
    "Answers",
    "Chart",
    "Column",
    "Examined",
    "Index",
    "Limits",
    "ask",
    "chart_of",
    "cumulative_incidence",
    "forecasts_in",
    "needs",
    "phrased",
    "refuse_unknown",
    "resolved",
    "speaker_of",
    "tell",
]
