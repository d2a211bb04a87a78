"""In: identified tables, a policy, a key. Out: the same tables without identities, and the risk left."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
