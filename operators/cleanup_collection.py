"""Cleanup Collection: delete a collection, after saying what that means."""

from dataclasses import replace
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import clean_up, list_indexes, load_index
from fiftyone_qdrant.cleanup import (
    clean_up_collection,
    plan_cleanup,
    plan_collection_cleanup,
)
from fiftyone_qdrant.errors import AuthenticationFailed, ConfigError, QdrantPluginError
from fiftyone_qdrant.qdrant.connection import resolve
from fiftyone_qdrant.status.catalog import MEANINGS, orphans

from .forms import brain_key_input, dropdown, mark_invalid
from .qdrant_operator import (
    QdrantOperator,
    chosen_index,
    connection_keywords,
)

_INDEX, _ORPHAN = "index", "orphan"
_WHAT = {_INDEX: "An index of this dataset", _ORPHAN: "What deleted datasets left"}


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

        if params.get("brain_key") and params.get("what") != _ORPHAN:
            plan = clean_up(chosen_index(ctx), **options)
        elif name:
            place = resolve(connection_keywords(ctx))
            plan = clean_up_collection(place, name, ctx.dataset, **options)
        elif options["dry_run"]:
            return _list_orphans(resolve(connection_keywords(ctx)))
        else:
            plan = clean_up(chosen_index(ctx), **options)  # says what is missing

        if plan.deleted:
            ctx.ops.reload_dataset()

        return plan.to_dict()

    def __call__(
        self,
        samples,
        brain_key=None,
        collection_name=None,
        confirm=None,
        delete_run=True,
        force=False,
        dry_run=False,
        delegate=False,
        **connection,
    ):
        """Deletes the collection of an index, or any collection by its name.

        Args:
            samples: the dataset
            brain_key (None): the index
            collection_name (None): the collection, if not that of an index; with
                neither of the two, a dry run lists the orphans: collections whose
                dataset is gone
            confirm (None): the collection's name, typed out; needed to delete
            delete_run (True): whether to delete the run record as well
            force (False): delete even if others use the collection or made it, or an
                ingest writes to it
            dry_run (False): only say what would be deleted
            delegate (False): run it in a delegated worker
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
            **connection,
        }
        return self._run(samples, params, delegate)


def _planned(ctx, inputs):
    """Asks what to delete; returns the plan, or ``None`` while nothing is chosen."""
    name = ctx.params.get("collection_name")
    choices = types.RadioGroup()
    for value, label in _WHAT.items():
        choices.add_choice(value, label=label)

    given = _ORPHAN if name and not ctx.params.get("brain_key") else _INDEX
    inputs.enum("what", choices.values(), default=given, label="What", view=choices)
    if ctx.params.get("what", given) == _INDEX:
        key = brain_key_input(ctx, inputs)
        return None if key is None else plan_cleanup(load_index(ctx.dataset, key))

    place = resolve(connection_keywords(ctx))
    names = [e.name for e in orphans(place)]
    if name and name not in names:  # named by who knows: the plan says whose it is
        names.append(name)

    if not names:
        words = f"No collection at {place.location} is an orphan"
        note = types.Notice(label=words, description=f"That is, {MEANINGS['orphan']}")
        inputs.str("collection_name", view=note)
        mark_invalid(inputs, "collection_name", words)
        return None

    inputs.enum(
        "collection_name",
        names,
        default=name or names[0],
        label="Collection",
        description=f"{len(names):,} at {place.location}",
        view=dropdown(names),
    )
    return plan_collection_cleanup(place, name or names[0], ctx.dataset)


def _list_orphans(place):
    found = orphans(place)
    listed = ", ".join(f"'{e.name}' (of '{e.made_for}')" for e in found) or "none"
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
        ],
        "summary": f"Orphaned collections at {place.location}: {listed}",
    }


def _confirmation(ctx, inputs, plan):
    if not ctx.params.get("delete_run", True):
        plan = replace(plan, runs=())

    inputs.view("plan", types.Notice(label=plan.summary))
    if plan.obstacle:
        inputs.view("obstacle", types.Warning(label=f"Careful: {plan.obstacle}"))
        inputs.bool("force", default=False, label="Delete it all the same")

    _confirm_inputs(ctx, inputs, plan.collection_name)


def _confirm_inputs(ctx, inputs, name):
    inputs.str("confirm", label="Confirm", description=f"Type {name} to delete it")
    inputs.bool("delete_run", default=True, label="Delete the run record as well")
    dry_run = ctx.params.get("dry_run", False)
    if not dry_run and ctx.params.get("confirm") != name:
        words = f"Type the collection's name to confirm: {name}"
        mark_invalid(inputs, "confirm", words)


def _name_of(ctx):
    """Returns the collection that is meant, as far as nobody need be asked."""
    if ctx.params.get("what") == _ORPHAN or not list_indexes(ctx.dataset):
        return ctx.params.get("collection_name")

    key = ctx.params.get("brain_key") or list_indexes(ctx.dataset)[0]
    return load_index(ctx.dataset, key).config.collection_name
