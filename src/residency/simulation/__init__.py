"""In: a size and a seed. Out: a simulated hospital as FHIR files, with the truth beside it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
