from .adapting import adapt
from .opening import open_adapted
from .spec import AdaptSpec
from .words import in_words_of

__all__ = ["AdaptSpec", "adapt", "in_words_of", "open_adapted"]
