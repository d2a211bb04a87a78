from .abstaining import Limits
from .alike import Alike, alike_of
from .answers import Answers, Column
from .asking import ask
from .chart import Chart, chart_of
from .figures import Figures
from .incidence import cumulative_incidence
from .index import Index
from .panel import Triage, Urgent
from .phrasing import phrased, speaker_of
from .plan import Examined
from .telling import forecasts_in, needs, refuse_unknown, tell
from .treatment import resolved

__all__ = [
    "Alike",
    "Answers",
    "Chart",
    "Column",
    "Examined",
    "Figures",
    "Index",
    "Limits",
    "Triage",
    "Urgent",
    "alike_of",
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
