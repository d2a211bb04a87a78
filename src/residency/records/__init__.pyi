from .feeds import Feed as Feed
from .ingesting import ingest as ingest

__all__ = ["Feed", "ingest"]
