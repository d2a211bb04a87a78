"""In: a signed release. Out: the same over HTTP, in OpenAI, Azure and our shapes, with keys and an audit."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
