"""In: timelines and a budget. Out: what a training will take, what larger ones would reach, what to train."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
