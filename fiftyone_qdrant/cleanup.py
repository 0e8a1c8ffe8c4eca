"""Deleting a collection: first what it would mean, then on confirmation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from fiftyone_qdrant.dataset.samples import dataset_id, root_of
from fiftyone_qdrant.errors import CollectionNotFound, CollectionShared, ConfigError
from fiftyone_qdrant.index import ownership
from fiftyone_qdrant.index.ownership import ORPHAN
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import background, jobs
from fiftyone_qdrant.status.catalog import Entry, describe, orphans
from fiftyone_qdrant.words import bytes_in_words

ALL_ORPHANS = "ORPHANS"


@dataclass(frozen=True)
class Cleanup:
    """What deleting a collection means, or meant.

    Attributes:
        collection_name: the collection
        location: where it is
        points: the number of its points
        users: the runs that use it, this one included
        obstacle: why it should not be deleted, if so
        exists: whether the collection is there
        deleted: whether it has been deleted
        bytes: its size on disk, or on a server that of its vectors
        runs: the brain keys whose run records go with it
        left_by: the dataset that left it behind, if it is an orphan
        kept: whether the collection stays, and just the runs are forgotten
    """

    collection_name: str
    location: str
    points: int = 0
    users: tuple[str, ...] = ()
    obstacle: str | None = None
    exists: bool = True
    deleted: bool = False
    bytes: int | None = None
    runs: tuple[str, ...] = ()
    left_by: str | None = None
    kept: bool = False

    @property
    def summary(self) -> str:
        """The same as one sentence."""
        listed = ", ".join(map(repr, self.runs))
        runs = f", with the run record of {listed}" if self.runs else ""
        if self.kept:
            return (
                f"The run record of {listed} goes; collection '{self.collection_name}' "
                f"with {self.points:,} points stays at {self.location}"
            )

        if not self.exists:
            return f"Collection '{self.collection_name}' is gone already{runs}"

        verb = "Deleted" if self.deleted else "Deletes"
        size = f" ({bytes_in_words(self.bytes)})" if self.bytes else ""
        used = f", used by {', '.join(self.users)}" if self.users else ""
        left = ""
        if self.left_by is not None and not self.deleted:
            left = (
                f", left by dataset '{self.left_by}', which is gone here (another copy "
                "of this FiftyOne database may still have it)"
            )

        return (
            f"{verb} collection '{self.collection_name}' with {self.points:,} points"
            f"{size} at {self.location}{used}{left}{runs}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain JSON, summary included."""
        lists = {"users": list(self.users), "runs": list(self.runs)}
        return {**asdict(self), **lists, "summary": self.summary}


def plan_cleanup(index: QdrantSimilarityIndex) -> Cleanup:
    """Returns what deleting an index's collection would mean; deletes nothing."""
    collection, runs = index.collection, (str(index.key),)
    busy = jobs.why_busy(index.samples, runs)
    try:
        entry = describe(collection.connection, collection.name)
        plan = _plan(entry, index.why_not_delete() or busy)
        return replace(plan, points=collection.count(), runs=runs)
    except CollectionNotFound:
        plan = _gone(collection.connection, collection.name)
        return replace(plan, obstacle=busy, runs=runs)


def clean_up(
    index: QdrantSimilarityIndex,
    confirm: str | None = None,
    delete_run: bool = True,
    force: bool = False,
    dry_run: bool = False,
) -> Cleanup:
    """Deletes an index's collection and its run record.

    Args:
        index: the index
        confirm (None): the collection's name, typed out
        delete_run (True): whether to delete the run record as well
        force (False): delete even if others use the collection or made it, or an
            ingest writes to it
        dry_run (False): only return the plan

    Raises:
        ConfigError: if ``confirm`` is not the collection's name
        CollectionShared: if deleting would harm others, and not ``force``
    """
    plan = plan_cleanup(index)
    plan = plan if delete_run else replace(plan, runs=())
    if dry_run:
        return plan

    _check_confirmed(plan, confirm)
    _carry_out(plan, force, index.collection, root_of(index.samples))
    return replace(plan, deleted=True)


def disconnect(
    index: QdrantSimilarityIndex, force: bool = False, dry_run: bool = False
) -> Cleanup:
    """Deletes the run record of an index, and keeps its collection.

    Args:
        index: the index
        force (False): do so even if an ingest writes to it
        dry_run (False): only return the plan

    Raises:
        CollectionShared: if an ingest writes to it, and not ``force``
    """
    collection, runs = index.collection, (str(index.key),)
    name, place = collection.name, collection.connection.location
    busy = jobs.why_busy(index.samples, runs)
    points = index.total_index_size
    plan = Cleanup(name, place, points, obstacle=busy, runs=runs, kept=True)
    if not dry_run:
        _carry_out(plan, force, collection, root_of(index.samples))

    return plan


def plan_collection_cleanup(
    connection: Connection, collection_name: str, dataset: Any = None
) -> Cleanup:
    """Returns what deleting a collection, of an index or not, would mean.

    Args:
        connection: where the collection is
        collection_name: its name
        dataset (None): the dataset on whose behalf it would be deleted: that its own
            indexes use it is no obstacle
    """
    try:
        entry = describe(connection, collection_name, dataset)
    except CollectionNotFound:
        return _gone(connection, collection_name)

    mine = None if dataset is None else str(dataset_id(dataset))
    runs = tuple(u.brain_key for u in entry.users if u.dataset_id == mine)
    busy = jobs.why_busy(dataset, runs) if runs else None
    return replace(_plan(entry, entry.obstacle(dataset) or busy), runs=runs)


def clean_up_collection(
    connection: Connection,
    collection_name: str,
    dataset: Any = None,
    confirm: str | None = None,
    delete_run: bool = True,
    force: bool = False,
    dry_run: bool = False,
) -> Cleanup:
    """Deletes a collection by its name, such as one whose dataset is gone.

    Args:
        connection: where the collection is
        collection_name: its name
        dataset (None): the dataset on whose behalf it is deleted
        confirm (None): the collection's name, typed out
        delete_run (True): whether to delete the run records of ``dataset`` that use
            it as well; none if the collection is gone already. Of a server, those
            that use a collection of this name on any server, see
            :func:`.ownership.all_users`
        force (False): delete even if others use the collection or made it, or an
            ingest writes to it
        dry_run (False): only return the plan

    Raises:
        ConfigError: if ``confirm`` is not the collection's name
        CollectionShared: if deleting would harm others, and not ``force``
    """
    plan = plan_collection_cleanup(connection, collection_name, dataset)
    plan = plan if delete_run else replace(plan, runs=())
    if dry_run:
        return plan

    _check_confirmed(plan, confirm)
    _carry_out(plan, force, Collection(connection, collection_name), dataset)
    return replace(plan, deleted=plan.exists)


def clean_up_orphans(
    connection: Connection, confirm: str | None = None, dry_run: bool = False
) -> list[Entry]:
    """Deletes the collections of all datasets that are gone.

    Args:
        connection: where they are
        confirm (None): :data:`ALL_ORPHANS`, typed out
        dry_run (False): only return them

    Returns:
        what was, or would be, deleted

    Raises:
        ConfigError: if ``confirm`` is something else
    """
    found = orphans(connection)
    if dry_run:
        return found

    if confirm != ALL_ORPHANS:
        raise ConfigError(
            f"This deletes {len(found):,} collections at {connection.location}. To do "
            f"it, give confirm='{ALL_ORPHANS}'"
        )

    for entry in found:
        clean_up_collection(connection, entry.name, confirm=entry.name)

    return found


def _plan(entry: Entry, obstacle: str | None) -> Cleanup:
    return Cleanup(
        entry.name,
        entry.location,
        entry.points or 0,
        tuple(map(str, entry.users)),
        obstacle,
        bytes=entry.bytes,
        left_by=entry.made_for if entry.kind == ORPHAN else None,
    )


def _gone(connection: Connection, name: str) -> Cleanup:
    users = tuple(map(str, ownership.users(connection, name)))
    return Cleanup(name, connection.location, users=users, exists=False)


def _carry_out(
    plan: Cleanup, force: bool, collection: Collection, dataset: Any
) -> None:
    if plan.obstacle and not force:
        raise CollectionShared(
            f"Collection '{plan.collection_name}' was not deleted: {plan.obstacle}. "
            "Use force=True to delete it anyway"
        )

    if plan.exists and not plan.kept:
        collection.drop()

    for key in plan.runs:
        dataset.delete_brain_run(key)
        background.forget(dataset, key)


def _check_confirmed(plan: Cleanup, confirm: str | None) -> None:
    if confirm != plan.collection_name:
        raise ConfigError(
            f"{plan.summary}. To do it, give confirm='{plan.collection_name}'"
        )
