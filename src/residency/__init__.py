"""Residency: an institution's own clinical foundation model."""

__version__ = "0.1.0"
