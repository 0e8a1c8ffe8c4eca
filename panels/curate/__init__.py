"""Qdrant Curate: the panel beside the grid, one module for each of its parts."""

from .qdrant_curate import QdrantCurate

__all__ = ["QdrantCurate"]
