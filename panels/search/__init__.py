"""Qdrant Search: the panel beside the grid, one module for each of its sections."""

from .qdrant_search import QdrantSearch

__all__ = ["QdrantSearch"]
