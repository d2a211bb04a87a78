from .ingesting import ingest

__all__ = ["ingest"]
