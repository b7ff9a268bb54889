"""Trimtab: typed, layered configuration as Kubernetes resources."""

from __future__ import annotations

__version__ = "0.1.0"
