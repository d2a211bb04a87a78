from .folder import export_model, open_exported

__all__ = ["export_model", "open_exported"]
