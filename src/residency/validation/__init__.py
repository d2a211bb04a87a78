"""In: a model, timelines and task definitions. Out: a report, beside a strong baseline."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
