"""In: a patient who withdraws, and folders. Out: the folders without them, and the models to train again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
