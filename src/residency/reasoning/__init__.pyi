from .abstaining import Limits
from .alike import Alike, alike_of
from .answers import Answers, Column
from .asking import ask, figures_of
from .chart import Chart, chart_of
from .effects import Effects, emulate
from .emulating import TargetTrial, load_trial
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
    "Effects",
    "Examined",
    "Figures",
    "Index",
    "Limits",
    "TargetTrial",
    "Triage",
    "Urgent",
    "alike_of",
    "ask",
    "chart_of",
    "cumulative_incidence",
    "emulate",
    "figures_of",
    "forecasts_in",
    "load_trial",
    "needs",
    "phrased",
    "refuse_unknown",
    "resolved",
    "speaker_of",
    "tell",
]
