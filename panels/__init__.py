"""The views: what a user looks at."""

from .qdrant_status import QdrantStatus

PANELS = (QdrantStatus,)
