"""In: the address of the HTTP API and a key. Out: the clinician's page, a client like any other."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
