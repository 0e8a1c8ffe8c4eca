"""Cleanup Collection: delete a collection, after saying what that means."""

from dataclasses import replace
from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import clean_up, list_indexes, load_index
from fiftyone_qdrant.cleanup import (
    ALL_ORPHANS,
    Cleanup,
    clean_up_collection,
    clean_up_orphans,
    disconnect,
    plan_cleanup,
    plan_collection_cleanup,
)
from fiftyone_qdrant.errors import AuthenticationFailed, ConfigError, QdrantPluginError
from fiftyone_qdrant.qdrant.connection import Connection, resolve
from fiftyone_qdrant.status.catalog import MEANINGS, Entry, orphans
from fiftyone_qdrant.status.indexes import load_impatient

from .forms import brain_key_input, dropdown, mark_invalid, message
from .qdrant_operator import (
    QdrantOperator,
    chosen_index,
    connection_keywords,
)

_INDEX, _DISCONNECT, _ORPHAN = "index", "disconnect", "orphan"
_WHAT = {
    _INDEX: "Delete an index: its collection and its run",
    _DISCONNECT: "Disconnect an index: forget its run, keep its collection",
    _ORPHAN: "Delete leftovers of deleted datasets",
}
_ALL = "*"  # no collection can be called so


class CleanupCollection(QdrantOperator):
    """Deletes the collection of an index and its run record, or an orphan."""

    name = "cleanup_collection"
    label = "Cleanup Collection"
    description = "Delete the Qdrant collection of an index, or an orphaned one"
    risk_level = types.RiskLevel.DANGEROUS
    on_views = False
    title = "Cleanup Collection"
    outputs = (("summary", "Result"),)

    def form(self, ctx: Any, inputs: Any) -> None:
        named = ctx.params.get("brain_key") or ctx.params.get("collection_name")
        if ctx.params.get("dry_run", False) and not named:
            return  # lists the orphans

        try:
            plan = _planned(ctx, inputs)
            if plan is not None:
                _confirmation(ctx, inputs, plan)
        except AuthenticationFailed as e:  # which running it may not meet
            inputs.view("failure", types.Warning(label=str(e)))
            name = _name_of(ctx)
            if name:
                _confirm_inputs(ctx, inputs, name)
        except QdrantPluginError as e:
            inputs.view("failure", types.Error(label=str(e)))

    def run(self, ctx: Any) -> dict[str, Any]:
        params = ctx.params
        options = {
            "confirm": params.get("confirm"),
            "delete_run": params.get("delete_run", True),
            "force": params.get("force", False),
            "dry_run": params.get("dry_run", False),
        }
        name = params.get("collection_name")
        if name is not None and not isinstance(name, str):
            raise ConfigError("collection_name is the name of a collection, as text")

        if params.get("what") == _DISCONNECT:
            keep = {name: options[name] for name in ("force", "dry_run")}
            plan = disconnect(chosen_index(ctx), **keep)
        elif params.get("brain_key") and params.get("what") != _ORPHAN:
            plan = clean_up(chosen_index(ctx), **options)
        elif name == _ALL:
            return _delete_orphans(ctx, options)
        elif name:
            place = resolve(connection_keywords(ctx))
            plan = clean_up_collection(place, name, ctx.dataset, **options)
        elif options["dry_run"]:
            return _list_orphans(resolve(connection_keywords(ctx)))
        else:
            plan = clean_up(chosen_index(ctx), **options)  # says what is missing

        if plan.deleted or plan.kept:
            ctx.ops.reload_dataset()

        return plan.to_dict()

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str | None = None,
        collection_name: str | None = None,
        confirm: str | None = None,
        delete_run: bool = True,
        force: bool = False,
        dry_run: bool = False,
        delegate: bool = False,
        disconnect: bool = False,
        **connection: Any,
    ) -> ExecutionResult:
        """Deletes the collection of an index, or any collection by its name.

        Args:
            samples: the dataset
            brain_key (None): the index
            collection_name (None): the collection, if not that of an index; with
                neither of the two, a dry run lists the orphans: collections whose
                dataset is gone; ``"*"`` means all of these
            confirm (None): the collection's name, typed out; needed to delete. For all
                orphans, ``"ORPHANS"``
            delete_run (True): whether to delete the run record as well
            force (False): delete even if others use the collection or made it, or an
                ingest writes to it
            dry_run (False): only say what would be deleted
            delegate (False): run it in a delegated worker
            disconnect (False): delete the run record of the index only, and keep its
                collection
            **connection: with ``collection_name``, ``url`` or ``path`` of where it
                is, if it is not where a new index would go

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with what was, or
            would be, deleted
        """
        params = {
            "brain_key": brain_key,
            "collection_name": collection_name,
            "confirm": confirm,
            "delete_run": delete_run,
            "force": force,
            "dry_run": dry_run,
            "what": _DISCONNECT if disconnect else None,
            **connection,
        }
        return self._run(samples, params, delegate)


def _planned(ctx: Any, inputs: Any) -> Cleanup | None:
    """Asks what to delete; returns the plan, or ``None`` while nothing is chosen."""
    name = ctx.params.get("collection_name")
    choices = types.RadioGroup()
    for value, label in _WHAT.items():
        choices.add_choice(value, label=label)

    given = _ORPHAN if name and not ctx.params.get("brain_key") else _INDEX
    inputs.enum("what", choices.values(), default=given, label="What", view=choices)
    what = ctx.params.get("what", given)
    if what == _ORPHAN:
        return _planned_orphan(ctx, inputs)

    key = brain_key_input(ctx, inputs)
    if key is None:
        return None

    index = load_impatient(ctx.dataset, key)
    if what == _DISCONNECT:
        return disconnect(index, dry_run=True)

    return plan_cleanup(index)


def _planned_orphan(ctx: Any, inputs: Any) -> Cleanup | None:
    name = ctx.params.get("collection_name")
    place = resolve(connection_keywords(ctx))
    found = orphans(place)
    labels = {e.name: e.name for e in found}
    if name and name not in (*labels, _ALL):  # by who knows: the plan says whose it is
        labels[name] = name

    if not labels:
        words = f"No collection at {place.location} is an orphan"
        about = f"An orphan is {MEANINGS['orphan']}"
        message(inputs, "collection_name", words, [about], stops=True)
        return None

    if len(found) > 1:
        labels[_ALL] = f"All {len(found):,} of them"

    chosen = name or next(iter(labels))
    inputs.enum(
        "collection_name",
        list(labels),
        default=chosen,
        label="Collection",
        description=f"{len(found):,} at {place.location}",
        view=dropdown(labels, labels),
    )
    if chosen == _ALL:
        _all_inputs(ctx, inputs, found)
        return None

    return plan_collection_cleanup(place, chosen, ctx.dataset)


def _all_inputs(ctx: Any, inputs: Any, found: list[Entry]) -> None:
    points = sum(e.points or 0 for e in found)
    words = f"Deletes {len(found):,} collections with {points:,} points"
    about = ", ".join(f"'{e.name}' (of '{e.made_for}')" for e in found)
    inputs.view("plan", types.Warning(label=words, description=about))
    _confirm_input(ctx, inputs, ALL_ORPHANS, f"Type {ALL_ORPHANS} to delete them all")


def _delete_orphans(ctx: Any, options: dict[str, Any]) -> dict[str, Any]:
    place = resolve(connection_keywords(ctx))
    confirm, dry_run = options["confirm"], options["dry_run"]
    found = clean_up_orphans(place, confirm, dry_run)
    verb = "Would delete" if dry_run else "Deleted"
    summary = f"{verb} {len(found):,} collections at {place.location}"
    return {**_listed(found), "deleted": not dry_run, "summary": summary}


def _list_orphans(place: Connection) -> dict[str, Any]:
    found = orphans(place)
    listed = ", ".join(f"'{e.name}' (of '{e.made_for}')" for e in found) or "none"
    summary = f"Orphaned collections at {place.location}: {listed}"
    return {**_listed(found), "summary": summary}


def _listed(found: list[Entry]) -> dict[str, Any]:
    return {
        "orphans": [
            {
                "collection_name": e.name,
                "dataset": e.made_for,
                "points": e.points,
                "bytes": e.bytes,
                "created_at": e.created_at,
            }
            for e in found
        ]
    }


def _confirmation(ctx: Any, inputs: Any, plan: Cleanup) -> None:
    if not (ctx.params.get("delete_run", True) or plan.kept):
        plan = replace(plan, runs=())

    inputs.view("plan", types.Warning(label=plan.summary))
    if plan.obstacle:
        inputs.view("obstacle", types.Error(label=f"Careful: {plan.obstacle}"))
        inputs.bool("force", default=False, label="Delete it anyway")

    if not plan.kept:
        _confirm_inputs(ctx, inputs, plan.collection_name)


def _confirm_inputs(ctx: Any, inputs: Any, name: str) -> None:
    words = f"Type the collection's name to confirm: {name}"
    _confirm_input(ctx, inputs, name, words)
    if ctx.params.get("what") != _ORPHAN:
        inputs.bool("delete_run", default=True, label="Delete the run record as well")


def _confirm_input(ctx: Any, inputs: Any, word: str, words: str) -> None:
    inputs.str("confirm", label="Confirm", description=f"Type {word} to delete")
    dry_run = ctx.params.get("dry_run", False)
    if not dry_run and ctx.params.get("confirm") != word:
        mark_invalid(inputs, "confirm", words)


def _name_of(ctx: Any) -> str | None:
    """Returns the collection that is meant, as far as nobody need be asked."""
    if ctx.params.get("what") == _ORPHAN or not list_indexes(ctx.dataset):
        name = ctx.params.get("collection_name")
    else:
        key = ctx.params.get("brain_key") or list_indexes(ctx.dataset)[0]
        name = load_index(ctx.dataset, key).config.collection_name

    return None if name is None else str(name)
