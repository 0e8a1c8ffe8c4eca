"""Qdrant similarity indexes for FiftyOne datasets.

Importing this package makes ``backend="qdrant"`` of
``fiftyone.brain.compute_similarity()`` resolve to
:class:`fiftyone_qdrant.similarity.QdrantSimilarityConfig`.
"""

import fiftyone.brain as _fob

__version__ = "0.1.0"

# By name, so that neither the engine nor the index is imported before it is used
CONFIG_CLS = "fiftyone_qdrant.similarity.QdrantSimilarityConfig"

_fob.brain_config.similarity_backends.setdefault("qdrant", {})["config_cls"] = (
    CONFIG_CLS
)
