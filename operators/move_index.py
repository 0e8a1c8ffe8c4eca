"""Move Index: to a server, to an embedded store, or into another collection."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import abandon_move, drop_old_copy, move_index, undo_move
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.moving.move import COPYING, DONE, SWITCHED
from fiftyone_qdrant.moving.places import shown
from fiftyone_qdrant.parameters.table import PARAMETERS
from fiftyone_qdrant.qdrant.connection import resolve
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import background
from fiftyone_qdrant.status.indexes import load_impatient
from fiftyone_qdrant.status.jobs import watched
from fiftyone_qdrant.words import bytes_in_words

from .forms import (
    brain_key_input,
    dropdown,
    given_settings,
    mark_invalid,
    message,
    settings_inputs,
)
from .in_background import start_in_background
from .place_form import engine_of, place_arguments, place_inputs
from .qdrant_operator import QdrantOperator, chosen_index, progress
from .reopening import is_shown

MOVE, UNDO, DROP, ABANDON = "move", "undo", "drop", "abandon"
_WHAT = {
    MOVE: "Move it",
    UNDO: "Undo: move it back, with what was written since",
    DROP: "Delete the old copy",
    ABANDON: "Abandon the move: delete what was copied so far",
}
_CHOICES = {None: [MOVE], COPYING: [MOVE, ABANDON], SWITCHED: [MOVE]}
_CHOICES[DONE] = [MOVE, UNDO, DROP]
_OF_THE_FORM = ("where", "ask", "settings", "quantization", "prompt", "problem")
_PARAMS = ("brain_key", "what", "url", "path", "collection_name", "confirm")
_OF_A_SERVER = ("grpc_port", "prefer_grpc", "timeout")


class MoveIndex(QdrantOperator):
    """Moves an index, which goes on answering, and checks the copy before it counts."""

    name = "move_index"
    label = "Move Index"
    description = "Move a Qdrant index to a server, to a store, or to other settings"
    on_views = False
    title = "Move Index"
    outputs = (
        ("summary", "Result"),
        ("points", "Points"),
        ("place", "Where it is now"),
        ("old_place", "Where it was"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        try:
            index = load_impatient(ctx.dataset, key)
            what = _what_input(ctx, inputs, index)
            if what == MOVE and not _is_under_way(index):
                place_inputs(ctx, inputs)
                _settings_inputs(ctx, inputs)

            if what not in _CHOICES[(index.config.move or {}).get("state")]:
                return  # running it says why

            _plan(ctx, inputs, index, what)
            if what == DROP:
                _confirm_input(ctx, inputs, index)
        except QdrantPluginError as e:
            message(inputs, "failure", str(e), (), is_shown(ctx), types.Error)

    def run(self, ctx: Any) -> dict[str, Any]:
        unknown = set(ctx.params) - {
            *(*_PARAMS, *_OF_THE_FORM, *_OF_A_SERVER, *PARAMETERS)
        }
        if unknown:
            raise ConfigError(f"Unknown parameter {', '.join(sorted(unknown))}")

        index, what = chosen_index(ctx), ctx.params.get("what") or MOVE
        if what == DROP:
            return _drop(ctx, index)

        if what == ABANDON:
            abandon_move(ctx.dataset, index.key)
            return {"summary": f"'{index.key}' stays where it is"}

        started = start_in_background(self, ctx, "move", index.key)
        if started is not None:
            return started

        with watched(ctx.dataset, "move", index.key, progress(ctx)) as tell:
            if what == UNDO:
                moved = undo_move(ctx.dataset, index.key, progress=tell)
            else:
                moved = move_index(
                    ctx.dataset, index.key, progress=tell, **_arguments(ctx)
                )

        background.forget(ctx.dataset, index.key)
        ctx.ops.reload_dataset()
        return {
            "points": moved.points,
            "agreement": moved.agreement,
            "place": moved.place,
            "old_place": moved.old_place,
            "summary": f"Moved. {moved.agreement:.1%} of the hits of 50 queries agree",
        }

    def in_words(self, result: dict[str, Any]) -> str:
        return f"{result['points']:,} points are at {result['place']} now"

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        url: str | None = None,
        path: str | None = None,
        what: str = MOVE,
        collection_name: str | None = None,
        confirm: str | None = None,
        delegate: bool = False,
        **settings: Any,
    ) -> ExecutionResult:
        """Moves an index, or ends a move.

        Args:
            samples: the dataset
            brain_key: the index
            url (None): the configured Qdrant server, to move there
            path (None): the directory of an embedded store, to move there
            what ("move"): ``"move"``, ``"undo"`` to move it back, ``"drop"`` to
                delete the old copy, or ``"abandon"`` an unfinished move
            collection_name (None): the name of the new collection
            confirm (None): to delete the old copy, the name of its collection
            delegate (False): run it in a delegated worker
            **settings: parameters of the collection that are to be different

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the number of
            ``points``, the ``agreement`` of both places, 0 to 1, and the ``place`` and
            ``old_place``
        """
        params = {
            "brain_key": brain_key,
            "url": url,
            "path": path,
            "what": what,
            "collection_name": collection_name,
            "confirm": confirm,
            **settings,
        }
        return self._run(samples, params, delegate)


def _is_under_way(index: QdrantSimilarityIndex) -> bool:
    return (index.config.move or {}).get("state") in (COPYING, SWITCHED)


def _what_input(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> str:
    choices = list(_WHAT)
    if is_shown(ctx):
        choices = _CHOICES[(index.config.move or {}).get("state")]

    labels = {**_WHAT, MOVE: "Go on with the move"} if _is_under_way(index) else _WHAT
    inputs.enum(
        "what",
        choices,
        default=choices[0],
        label="What",
        view=dropdown(choices, labels),
    )
    what = ctx.params.get("what")
    return what if what in choices else choices[0]


def _settings_inputs(ctx: Any, inputs: Any) -> None:
    inputs.bool(
        "settings",
        default=False,
        label="Change settings on the way",
        description="All of a new collection, also those that cannot change in place",
        view=types.SwitchView(),
    )
    if ctx.params.get("settings"):
        settings_inputs(ctx, inputs, engine_of(ctx))


def _plan(ctx: Any, inputs: Any, index: QdrantSimilarityIndex, what: str) -> None:
    """Says what would be moved where, and what that takes."""
    move, collection = index.config.move or {}, index.collection
    place = collection.connection.location
    points, size = index.total_index_size, collection.schema().size
    amount = f"{points:,} points, about {bytes_in_words(4 * points * size)}"
    if what == DROP:
        words = f"Deletes {shown(move['was'])}. The index stays at {place}"
        message(inputs, "plan", words)
    elif what == UNDO:
        message(inputs, "plan", f"{place} → {shown(move['was'])}", [amount])
    elif what == ABANDON:
        words = f"Deletes {shown(move['to'])}. The index stays at {place}"
        message(inputs, "plan", words)
    elif _is_under_way(index):
        to = move.get("to") or {}
        words = f"Goes on to {shown(to)}" if to else "Ends the move"
        message(inputs, "plan", words, [amount])
    else:
        there = _destination(ctx)
        stays = there == place and not given_settings(ctx.params)
        words = f"It is at {place}: choose another place" if stays else ""
        notes = [amount, "Searches and writes go on. The old copy stays until deleted"]
        message(inputs, "plan", words or f"{place} → {there}", notes, stops=stays)


def _destination(ctx: Any) -> str:
    return resolve(place_arguments(ctx)).location


def _confirm_input(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    name = index.config.move["was"]["collection_name"]
    inputs.str("confirm", label=f"Type {name} to delete it", required=True)
    if ctx.params.get("confirm") not in (None, name):
        mark_invalid(inputs, "confirm", f"Type {name}")


def _drop(ctx: Any, index: QdrantSimilarityIndex) -> dict[str, Any]:
    move = index.config.move or {}
    name = move.get("was", {}).get("collection_name")
    if name is not None and ctx.params.get("confirm") != name:
        raise ConfigError(
            f"Nothing was deleted. To delete the old copy, give its name: "
            f"confirm='{name}'"
        )

    drop_old_copy(ctx.dataset, index.key)
    return {"summary": f"The old copy of '{index.key}' is deleted"}


def _arguments(ctx: Any) -> dict[str, Any]:
    """Returns the keywords of ``move_index()``."""
    settings = given_settings(ctx.params)
    name = ctx.params.get("collection_name")
    chosen = ctx.params.get("where") or ctx.params.get("url") or ctx.params.get("path")
    if not chosen:  # it stays at its place, or a move goes on
        return {"collection_name": name, **settings}

    place = place_arguments(ctx)
    if not (place.get("url") or place.get("path")):
        configured = resolve(place)
        place = {"url": configured.url, "path": configured.path}

    return {"collection_name": name, **settings, **place}
