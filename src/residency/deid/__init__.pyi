from .batch import deidentify
from .exporting import export_dicom
from .handling import ImagesRules, NotesRules, RiskRules, VariantsRules
from .keys import fingerprint, new_key, read_key
from .pixels import Stored, hide_pixels
from .planning import Fate, plan
from .policy import Policy, load_policy
from .reidentifying import Person, reidentify
from .shown import Shown
from .tables import Tables, Transformed, transform
from .truth import rekey

__all__ = [
    "Fate",
    "ImagesRules",
    "NotesRules",
    "Person",
    "Policy",
    "RiskRules",
    "Shown",
    "Stored",
    "Tables",
    "Transformed",
    "VariantsRules",
    "deidentify",
    "export_dicom",
    "fingerprint",
    "hide_pixels",
    "load_policy",
    "new_key",
    "plan",
    "read_key",
    "reidentify",
    "rekey",
    "transform",
]
