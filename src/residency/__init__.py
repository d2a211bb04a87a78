"""Residency: an institution's own clinical foundation model."""
