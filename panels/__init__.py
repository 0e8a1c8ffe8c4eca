"""The views: what a user looks at."""

from .curate import QdrantCurate
from .qdrant_status import QdrantStatus
from .search import QdrantSearch

PANELS = (QdrantStatus, QdrantSearch, QdrantCurate)
