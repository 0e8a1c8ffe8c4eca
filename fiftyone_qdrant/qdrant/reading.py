"""Points read as ``qdrant_client`` reads them: of any kind, from any server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fiftyone_qdrant.points import Page


def retrieve(
    client: Any,
    collection: str,
    ids: Sequence[str],
    with_payload: Any,
    with_vectors: Any,
    **extra: Any,
) -> Page:
    """Returns the points with the given ids."""
    return Page.of(
        client.retrieve(collection, ids, with_payload, with_vectors, **extra)
    )


def scroll(client: Any, collection: str, **how: Any) -> tuple[Page, Any]:
    """Returns a page of points and where the next begins."""
    records, offset = client.scroll(collection, **how)
    return Page.of(records), offset
