from .deid import Policy as Policy
from .deid import deidentify as deidentify
from .flow import FlowSpec as FlowSpec
from .flow import run as run
from .model import Model as Model
from .model import ModelSpec as ModelSpec
from .model import train as train
from .reasoning import Index as Index
from .reasoning import ask as ask
from .records import Feed as Feed
from .records import ingest as ingest
from .serving import create_app as create_app
from .simulation import HospitalSpec as HospitalSpec
from .simulation import simulate as simulate
from .timeline import BuildSpec as BuildSpec
from .timeline import Timelines as Timelines
from .timeline import build as build
from .validation import validate as validate

__version__: str
