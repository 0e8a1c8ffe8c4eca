"""A thorough check of a collection: of every file, and of every point."""

from __future__ import annotations

from typing import Any

import numpy as np
import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import seal
from fiftyone_qdrant.embedded.collection import Collection

_PAGE = 512
_PROBES = 100
_FOUND = 0.9
_UNIT = 1e-3


def check(collection: Collection) -> dict[str, Any]:
    """Compares files with their checksums, reads all points, and tries the index.

    Writers wait while files are compared; readers do not.

    Returns:
        ``name``, ``points``, ``compared`` (how many files had a checksum, 0 if the
        store did not end normally since the last write) and ``problems``
    """
    about: dict[str, Any] = {"name": collection.name, "points": 0, "compared": 0}
    problems: list[str] = []
    try:
        about["compared"] = _check_files(collection, problems)
        about["points"] = _check_points(collection, problems)
        _check_index(collection, problems)
    except errors.CollectionDamaged as exc:
        problems.append(str(exc))
    return {**about, "problems": problems}


def _check_files(collection: Collection, problems: list[str]) -> int:
    live = collection.live
    with live.still():
        note = seal.read(live.directory) or {}
        wrong = seal.damage_of_files(note, live.directory)
        wrong = wrong or seal.damage_of_contents(note, live.directory)
        if wrong:
            problems.append(wrong)
        else:
            seal.add_checksums(live.directory)
    return len(note.get("checksums", ()))


def _check_points(collection: Collection, problems: list[str]) -> int:
    unit = collection.config["vectors"]["distance"] == "Cosine"
    seen = wrong = 0
    last: Any = None
    offset: Any = None
    while True:
        with collection.live.use() as shard:
            page, offset = shard.scroll(
                qe.ScrollRequest(
                    offset=offset, limit=_PAGE, with_payload=True, with_vector=True
                )
            )
        norms = np.linalg.norm(np.array([p.vector for p in page] or [[]]), axis=1)
        bad = ~np.isfinite(norms)
        if unit:
            bad |= (norms != 0) & (abs(norms - 1) > _UNIT)
        for row in np.flatnonzero(bad):
            wrong, last = wrong + 1, page[row].id
        seen += len(page)
        if offset is None:
            break
    if wrong:
        problems.append(f"{wrong} vectors are not what was written, such as {last}'s")
    counted = collection.counts()["points_count"]
    if seen != counted and not collection.live.written_at:
        problems.append(f"{seen} of {counted} points can be read")
    return seen


def _check_index(collection: Collection, problems: list[str]) -> None:
    """Asks the graph for points by their own vectors."""
    if not collection.counts()["indexed_vectors_count"]:
        return
    with collection.live.use() as shard:
        sample = shard.query(
            qe.QueryRequest(
                limit=_PROBES,
                offset=0,
                query=qe.Sample.Random,
                with_payload=False,
                with_vector=True,
            )
        )
    found = 0
    for point in sample:
        with collection.live.use() as shard:
            hits = shard.query(
                qe.QueryRequest(
                    limit=10,
                    offset=0,
                    query=qe.Query.Nearest(point.vector),
                    params=qe.SearchParams(hnsw_ef=256),
                    with_payload=False,
                    with_vector=False,
                )
            )
        ties = bool(hits) and hits[0].score == hits[-1].score  # all are the same
        found += ties or any(hit.id == point.id for hit in hits)
    if found < _FOUND * len(sample):
        problems.append(
            f"the index finds {found} of {len(sample)} points by their own vectors"
        )
