"""In: event tables. Out: packed timelines, their vocabulary, and the one cut between past and future."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
