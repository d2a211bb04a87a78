"""In: packed timelines. Out: a trained network, and its states, hazards and label probabilities."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
