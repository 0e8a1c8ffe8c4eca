"""A thorough check of a collection: of every file, and of every point."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.owner import seal
from fiftyone_qdrant.embedded.owner.collection import Collection
from fiftyone_qdrant.embedded.owner.engine import damaged

logger = logging.getLogger(__name__)

_PAGE = 512
_PROBES = 100
_HITS = 10
_FOUND = 0.5  # a graph that is not damaged finds nearly all, but not with any vectors
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
    parts = (("compared", _check_files), ("points", _check_points), ("", _check_index))
    for key, part in parts:
        try:
            found = part(collection, problems)
        except Exception as e:
            if not isinstance(e, errors.QdrantPluginError):
                logger.exception("cannot check '%s'", collection.name)

            said = str(e) or type(e).__name__
            if said not in problems:  # each part may meet the same
                problems.append(said)
        else:
            about.update({key: found} if key else {})

    return {**about, "problems": problems}


def read(collection: Collection) -> None:
    """Compares a collection's files with their checksums, and reads all its points.

    Raises:
        CollectionDamaged: with all that is wrong
        StoreUnavailable: if it cannot be read now
    """
    problems: list[str] = []
    try:
        _check_files(collection, problems)
        _check_points(collection, problems)
    except errors.EngineError as e:
        problems.append(str(e))

    if problems:
        raise damaged(collection.name, "; ".join(problems))


def _check_files(collection: Collection, problems: list[str]) -> int:
    live = collection.live
    with live.still():
        note = seal.read(live.directory) or {"files": {}}
        wrong = seal.damage_of_files(note, live.directory)
        wrong = wrong or seal.damage_of_contents(note, live.directory)
        if wrong:
            problems.append(wrong)
        else:
            seal.add_checksums(live.directory)

    return len(note.get("checksums", ()))


def _check_points(collection: Collection, problems: list[str]) -> int:
    vectors = collection.config["vectors"]
    floats = vectors.get("datatype") in (None, "float32", "float16")
    unit = vectors["distance"] == "Cosine" and floats
    writes = collection.live.writes
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

        size = vectors["size"]
        short = [p.id for p in page if p.vector is None or len(p.vector) != size]
        if short:
            what = f"point {short[0]} has no vector of {size} numbers"
            raise damaged(collection.name, what)

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
    if seen != counted and writes == collection.live.writes:
        problems.append(f"{seen} of {counted} points can be read")

    return seen


def _check_index(collection: Collection, problems: list[str]) -> None:
    """Compares what the graph finds with what an exact search finds."""
    if not collection.counts()["indexed_vectors_count"]:
        return

    random = seal.exactly(qe.Sample.Random, limit=_PROBES, with_vector=True)
    with collection.live.use() as shard:
        sample = shard.query(random)

    graph = qe.SearchParams(
        hnsw_ef=256, quantization=qe.QuantizationSearchParams(ignore=True)
    )
    found = wanted = 0
    for point in sample:
        with collection.live.use() as shard:
            query = qe.Query.Nearest(point.vector)
            nearest = shard.query(seal.exactly(query, limit=_HITS))
            hits = shard.query(seal.exactly(query, limit=_HITS, params=graph))

        ids = {hit.id for hit in hits}
        scores = {hit.score for hit in hits}  # others of the same score are as good
        wanted += len(nearest)
        found += sum(hit.id in ids or hit.score in scores for hit in nearest)

    if found < _FOUND * wanted:
        problems.append(f"the index finds {found} of {wanted} nearest points")
