"""An index to another place, while it goes on answering; and back.

A move has three states, kept with the run, so that any process can go on with it:

``copying``   the run is at its old place; what is written there is noted (see
              :mod:`fiftyone_qdrant.index.moves`) and copied
``switched``  the run is at its new place; the last writes to the old one are copied
``done``      the old collection stays, marked, until it is deleted or moved back to

A url and a key are never stored. So whoever opens an index that was moved to a server
must have these configured, which is checked before anything is copied.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fiftyone.core.utils as fou

from fiftyone_qdrant.dataset.samples import dataset_id, leave_cache, root_of
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError
from fiftyone_qdrant.index import claims, moves, naming, ownership
from fiftyone_qdrant.moving import agreement, places
from fiftyone_qdrant.moving.copying import Copy
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.connection import KEYWORDS
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.search import kept
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

COPYING, SWITCHED, DONE = "copying", "switched", "done"


@dataclass(frozen=True)
class Move:
    """What a move did.

    Attributes:
        points: points at the new place
        agreement: the share of hits of 50 queries that both places agree on, 0 to 1
        exact: whether all of these were answered exactly
        place: where the index is now, fit to be shown
        old_place: where it was, likewise; its collection is still there
    """

    points: int
    agreement: float
    exact: bool
    place: str
    old_place: str


def move_index(
    dataset: Any,
    brain_key: str,
    *,
    url: str | None = None,
    path: str | None = None,
    collection_name: str | None = None,
    from_url: str | None = None,
    progress: Any = None,
    **settings: Any,
) -> Move:
    """Moves an index to a server, to an embedded store, or into another collection.

    Searches and writes of this library go on meanwhile, in all processes. The copy is
    compared point by point, and by 50 queries, before the run changes its place in one
    step, under the same brain key. The old collection stays until
    :func:`drop_old_copy`, or :func:`undo_move`. The same call goes on with a move that
    was interrupted.

    Args:
        dataset: the dataset
        brain_key: the index
        url (None): the Qdrant server that it goes to. It must be the one that is
            configured, as no url is stored with an index
        path (None): the directory of the embedded store that it goes to
        collection_name (None): the name that the new collection gets; by default that
            of the old one, if it is free there
        from_url (None): the server that it is on now, if it goes to another one
        progress (None): as FiftyOne's: whether to draw a progress bar, or a function
            that is called with it after each page
        **settings: ``api_key``, ``grpc_port``, ``prefer_grpc``, ``timeout`` of the
            server, and parameters of the collection that are to be different

    Raises:
        ConfigError: if it is said to go where it cannot, or another move of it is
            under way
        IndexNotFound: if there is no such index
        CollectionExists: if the new collection is there already
        EngineError: if the copy is not as the index is; that stays where it is then
        ConnectionFailed: if either place cannot be reached
    """
    asked = {"url": url, "path": path, **settings}
    with _alone(dataset, brain_key) as source:
        move = source.config.move or {}
        if move.get("state") == SWITCHED:
            old = places.at(source, move["was"], url=from_url).collection
            return _leave(source, old)

        if from_url is not None:
            source.config.load_credentials(url=from_url)
            source = QdrantSimilarityIndex(source.samples, source.config, brain_key)

        if move.get("state") == COPYING:
            places.check_same(move["to"], asked, collection_name)
            keywords = {k: v for k, v in asked.items() if k in KEYWORDS and k != "path"}
            target = places.at(source, move["to"], **keywords)
        else:
            target = places.new_place(source, collection_name, asked)

        return _move(source, target, progress)


def undo_move(
    dataset: Any, brain_key: str, *, url: str | None = None, progress: Any = None
) -> Move:
    """Moves an index back to the collection that it was moved from.

    What was written to it since comes along.

    Args:
        dataset: the dataset
        brain_key: the index
        url (None): the server that it was on, if that is not the configured one
        progress (None): see :func:`move_index`

    Raises:
        ConfigError: if it was not moved
        CollectionNotFound: if the old collection was deleted
    """
    with _alone(dataset, brain_key) as source:
        target = _old(source, url)
        if not target.collection.exists():
            raise CollectionNotFound(
                f"The old copy of index '{brain_key}' was deleted, so it cannot be "
                "moved back there. Move it there anew with move_index()"
            )

        return _move(source, target, progress)


def drop_old_copy(dataset: Any, brain_key: str, *, url: str | None = None) -> None:
    """Deletes the collection that an index was moved from.

    Args:
        dataset: the dataset
        brain_key: the index
        url (None): the server that it was on, if that is not the configured one

    Raises:
        ConfigError: if it was not moved, or its move has not ended
        CollectionShared: if somebody else uses that collection
    """
    with _alone(dataset, brain_key) as index:
        old = _old(index, url).collection
        if old.exists():
            ownership.check_deletable(str(dataset_id(dataset)), brain_key, old)
            old.drop()

        index.config.move = None
        index.save_config()


def abandon_move(dataset: Any, brain_key: str, *, url: str | None = None) -> None:
    """Deletes what an unfinished move has copied; the index stays where it is.

    Args:
        dataset: the dataset
        brain_key: the index
        url (None): the server that it went to, if that is not the configured one

    Raises:
        ConfigError: if no move of it is unfinished
    """
    with _alone(dataset, brain_key) as index:
        move = index.config.move or {}
        if move.get("state") != COPYING:
            raise ConfigError(f"No move of index '{brain_key}' is unfinished")

        if move["made"]:
            places.at(index, move["to"], url=url).collection.drop()

        _mark(index.collection, {moves.MOVING: None})
        moves.forget_writes(move["id"])
        index.config.move = move["before"]
        index.save_config()


@contextlib.contextmanager
def _alone(dataset: Any, brain_key: str) -> Iterator[QdrantSimilarityIndex]:
    """Opens an index as it is now, that nobody else moves meanwhile."""
    with claims.claimed(dataset, brain_key, "moved"):
        dataset.reload()
        yield load_index(dataset, brain_key)


def _old(index: QdrantSimilarityIndex, url: str | None) -> QdrantSimilarityIndex:
    move = index.config.move or {}
    if move.get("state") != DONE:
        raise ConfigError(
            f"Index '{index.key}' has no old copy: it was not moved, or its move has "
            "not ended"
        )

    return places.at(index, move["was"], url=url)


def _move(
    source: QdrantSimilarityIndex, target: QdrantSimilarityIndex, progress: Any
) -> Move:
    brain_key = str(source.key)
    move = _begin(source, target)
    copy = Copy(source.collection, target.collection, move["id"])
    fresh = not target.collection.count()
    total = source.collection.count() * (1 + fresh)
    if source.collection.schema().needs_float64:
        target.collection.mark_float64()

    with fou.ProgressBar(total=total, progress=progress) as bar:
        if fresh:
            copy.all(bar.update)

        copy.until_alike(bar.update)

    kept.keep(target.collection, kept.kept(source.collection))
    proof = _prove(source, target, copy)
    old, was = source.collection, places.place_of(source)
    target.config.move = {"id": move["id"], "state": SWITCHED, "was": was}
    now = _as_it_is_now(source)
    now.config.go_to(target.config)
    now.save_config()  # the run is at its new place from now on
    leave_cache(source.samples, source.key)
    return _leave(load_index(source.samples, brain_key), old, *proof)


def _begin(
    source: QdrantSimilarityIndex, target: QdrantSimilarityIndex
) -> dict[str, Any]:
    """Notes the move with the run, makes the new collection, and has writes noted."""
    known: dict[str, Any] = source.config.move or {}
    move = known
    if known.get("state") != COPYING:
        move = {
            "id": uuid.uuid4().hex,
            "state": COPYING,
            "to": places.place_of(target),
            "made": not target.collection.exists(),
            "before": known or None,
        }
        source.config.move = move
        source.save_config()

    if not target.collection.exists():
        size = source.collection.schema().size
        metadata = ownership.to_metadata(source.samples, target.config, source.key)
        naming.create(target.collection, size, target.config, metadata)

    _mark(source.collection, {moves.MOVING: move["id"]})
    time.sleep(moves.known_after(source.collection))  # then all note what they write
    return move


def _prove(
    source: QdrantSimilarityIndex, target: QdrantSimilarityIndex, copy: Copy
) -> tuple[float, bool]:
    """Compares answers, but for what others write in that moment."""
    copy.follow()
    share, exact = agreement.agreement(source, target, copy.noted)
    agreement.check(share, exact, copy.lossless)
    copy.follow()
    return share, exact


def _leave(
    index: QdrantSimilarityIndex,
    old: Collection,
    share: float = 1.0,
    exact: bool = True,
) -> Move:
    """Marks the old collection of an index that is at its new place, and ends the move.

    Whoever has not seen the mark yet writes to the old one: that is copied as well.
    """
    move: dict[str, Any] = index.config.move or {}
    name = moves.index_name(str(dataset_id(index.samples)), index.key)
    there = index.collection.connection.location
    _mark_moved(old, name, there)
    _mark_moved(index.collection, name, None)
    copy = Copy(old, index.collection, move["id"])
    copy.follow()
    time.sleep(moves.known_after(old))
    copy.follow()
    _mark(old, {moves.MOVING: None})
    moves.forget_writes(move["id"])
    now = _as_it_is_now(index)
    now.config.move = {**move, "state": DONE}
    now.save_config()
    count = index.collection.count()
    return Move(count, share, exact, there, old.connection.location)


def _as_it_is_now(index: QdrantSimilarityIndex) -> QdrantSimilarityIndex:
    """Opens an index anew, as others may have changed its config meanwhile."""
    root_of(index.samples).reload()
    return load_index(index.samples, str(index.key))


def _mark_moved(collection: Collection, name: str, place: str | None) -> None:
    collection.forget()
    known = collection.schema().metadata.get(moves.MOVED) or {}
    if known.get(name) != place:
        _mark(collection, {moves.MOVED: {**known, name: place}})


def _mark(collection: Collection, metadata: dict[str, Any]) -> None:
    """Writes into a collection's metadata.

    Raises:
        ConfigError: if the server keeps none
    """
    if not collection.note(metadata):
        raise ConfigError(
            f"Collection '{collection.name}' has to say in its metadata that it is "
            "being moved, and this Qdrant server keeps none. Update the server to 1.16 "
            "or later"
        )
