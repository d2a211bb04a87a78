"""In: a frozen model and a new site's patients. Out: a small adapter that names its base; both, opened."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
