"""In: records of hospitals, in their own formats. Out: identified event tables of one schema."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
