"""Qdrant similarity indexes for FiftyOne datasets.

Importing this package makes ``backend="qdrant"`` of
``fiftyone.brain.compute_similarity()`` resolve to
:class:`fiftyone_qdrant.similarity.QdrantSimilarityConfig`.
"""

import sys as _sys

__version__ = "0.1.0"

# By name, so that neither the engine nor the index is imported before it is used
CONFIG_CLS = "fiftyone_qdrant.similarity.QdrantSimilarityConfig"


def _register() -> None:
    import fiftyone.brain as fob

    from .configured import BackendConfig

    backends = fob.brain_config.similarity_backends
    if not isinstance(backends.get("qdrant"), BackendConfig):
        backends["qdrant"] = BackendConfig(backends.get("qdrant") or {})

    backends["qdrant"]["config_cls"] = CONFIG_CLS


# `python -m fiftyone_qdrant` looks after stores, and does not wait for FiftyOne
if ("-m", __name__) not in zip(_sys.orig_argv, _sys.orig_argv[1:], strict=False):
    _register()
