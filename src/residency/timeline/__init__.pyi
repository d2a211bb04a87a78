from .attachments import Attachments, Content, Genome, Image, Note
from .building import BuildSpec, build
from .cut import concatenate, take, until, without
from .events import PatientEvents, events_of, moment_of_event, patient_of_moment
from .extending import Added, extended
from .occurrences import Occurrences, occurrences
from .packing import Packing, pack, packing_of
from .timelines import Timelines
from .vocabulary import Vocabulary

__all__ = [
    "Added",
    "Attachments",
    "BuildSpec",
    "Content",
    "Genome",
    "Image",
    "Note",
    "Occurrences",
    "Packing",
    "PatientEvents",
    "Timelines",
    "Vocabulary",
    "build",
    "concatenate",
    "events_of",
    "extended",
    "moment_of_event",
    "occurrences",
    "pack",
    "packing_of",
    "patient_of_moment",
    "take",
    "until",
    "without",
]
