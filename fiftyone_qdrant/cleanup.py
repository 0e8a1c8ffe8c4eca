"""Deleting a collection: first what it would mean, then on confirmation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from . import ownership
from .errors import CollectionNotFound, ConfigError
from .similarity import QdrantSimilarityIndex


@dataclass(frozen=True)
class Cleanup:
    """What deleting an index's collection means, or meant.

    Attributes:
        collection_name: the collection
        location: where it is
        points: the number of its points
        users: the runs that use it, this one included
        obstacle: why it should not be deleted, if so
        exists: whether the collection is there
        deleted: whether it has been deleted
    """

    collection_name: str
    location: str
    points: int
    users: tuple[str, ...]
    obstacle: str | None
    exists: bool = True
    deleted: bool = False

    @property
    def summary(self) -> str:
        """The same as one sentence."""
        if not self.exists:
            return f"Collection '{self.collection_name}' is gone already"

        verb = "Deleted" if self.deleted else "Deletes"
        used = f", used by {', '.join(self.users)}" if self.users else ""
        return (
            f"{verb} collection '{self.collection_name}' with {self.points:,} points "
            f"at {self.location}{used}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain JSON, summary included."""
        return {**asdict(self), "users": list(self.users), "summary": self.summary}


def plan_cleanup(index: QdrantSimilarityIndex) -> Cleanup:
    """Returns what deleting an index's collection would mean; deletes nothing."""
    collection = index.collection
    connection = collection.connection
    users = tuple(map(str, ownership.users(connection, collection.name)))
    plan = Cleanup(collection.name, connection.location, 0, users, None, exists=False)
    try:
        obstacle = index.why_not_delete()
        return replace(plan, points=collection.count(), obstacle=obstacle, exists=True)
    except CollectionNotFound:
        return plan


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
        force (False): delete even if others use the collection or made it
        dry_run (False): only return the plan

    Raises:
        ConfigError: if ``confirm`` is not the collection's name
        CollectionShared: if deleting would harm others, and not ``force``
    """
    plan = plan_cleanup(index)
    if dry_run:
        return plan

    if confirm != plan.collection_name:
        raise ConfigError(
            f"{plan.summary}. To do it, give confirm='{plan.collection_name}'"
        )

    index.cleanup(force=force)
    if delete_run:
        index.samples._root_dataset.delete_brain_run(index.key)

    return replace(plan, deleted=True)
