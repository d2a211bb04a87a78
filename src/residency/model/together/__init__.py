"""In: timelines, a spec, processes that torchrun or Ray started. Out: one model, trained by all of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
