"""In: a model, its report, and people who sign. Out: a release: gates, signatures, ledger, cards, bundle."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
