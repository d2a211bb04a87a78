"""In: a trained model. Out: a folder in the style of a Hugging Face repository; and the model back."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
