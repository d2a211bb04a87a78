from .batch import deidentify
from .keys import fingerprint, new_key, read_key
from .policy import Policy, load_policy
from .tables import Tables, Transformed, transform
from .truth import rekey

__all__ = [
    "Policy",
    "Tables",
    "Transformed",
    "deidentify",
    "fingerprint",
    "load_policy",
    "new_key",
    "read_key",
    "rekey",
    "transform",
]
