from residency.records.ingest import ingest

__all__ = ["ingest"]
