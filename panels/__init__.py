"""The views: what a user looks at."""

from .qdrant_status import QdrantStatus
from .search import QdrantSearch

PANELS = (QdrantStatus, QdrantSearch)
