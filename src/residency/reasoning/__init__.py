"""In: a frozen model, packed timelines, questions and index times. Out: answers, or reasons for none."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
