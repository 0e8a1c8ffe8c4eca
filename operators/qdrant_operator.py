"""What all operators of this plugin share: their form, result, errors, selections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import list_indexes, load_index
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.ingest.sources import ids_in
from fiftyone_qdrant.qdrant.connection import (
    ENVIRONMENT,
    KEYWORDS,
    belonging,
    keys_kept,
)
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status.jobs import Pace, progress_label

from . import reopening
from .call_schema import add_call
from .forms import mark_invalid
from .in_background import STARTED

ICONS = {
    "icon": "/assets/icon-light.svg",
    "light_icon": "/assets/icon-light.svg",
    "dark_icon": "/assets/icon-dark.svg",
}
API_KEY = (
    "Do not give the api_key as a parameter: FiftyOne stores parameters. Set the "
    f"environment variable or secret {ENVIRONMENT['api_key']}"
)
_IF_ANY = ("kept",)  # counts that are shown only if they are more than 0
USER_IN_URL = "Do not give a password in the url: FiftyOne stores parameters"


class QdrantOperator(foo.Operator):
    """Base class of the plugin's operators.

    Attributes:
        name: of the operator, without the plugin's
        label: how the operator browser and the head of the form call it
        description: what the operator browser says of it
        risk_level: how much can go wrong
        can_be_scheduled: whether a worker can run it
        on_views: whether it works on views as well as on the dataset
        title: the head of its result
        outputs: the keys of its result that are shown, each with its label; not where
            the result has nothing
    """

    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    risk_level: ClassVar[Any] = types.RiskLevel.MEDIUM
    can_be_scheduled: ClassVar[bool] = True
    on_views: ClassVar[bool] = True
    unlisted: ClassVar[bool] = False
    title: ClassVar[str] = ""
    outputs: ClassVar[tuple[tuple[str, str], ...]] = ()

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name=self.name,
            label=self.label,
            description=self.description,
            dynamic=True,
            unlisted=self.unlisted,
            allow_delegated_execution=self.can_be_scheduled,
            risk_level=self.risk_level,
            view_target=self.on_views,
            **ICONS,
        )

    def form(self, ctx: Any, inputs: Any) -> None:
        """Adds the operator's fields to a form."""
        raise NotImplementedError("subclass must implement form()")

    def in_words(self, result: dict[str, Any]) -> str:
        """Says in a sentence what was done: of those that run in the background."""
        raise NotImplementedError("subclass must implement in_words()")

    def run(self, ctx: Any) -> dict[str, Any] | None:
        """Does what the operator is for, and returns its result.

        Raises:
            QdrantPluginError: if that cannot be done. In the App the form is opened
                again, as it was filled in, and says why
        """
        raise NotImplementedError("subclass must implement run()")

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        reopening.show_problem(ctx, inputs)
        _refuse_secrets(ctx, inputs)  # first, as FiftyOne says what is wrong first
        with keys_kept(), reopening.set_aside(ctx):
            self.form(ctx, inputs)

        reopening.name_form(ctx, inputs)
        if not reopening.is_shown(ctx):
            add_call(self, ctx, inputs)

        _refuse_secrets(ctx, inputs)  # and last, whatever fields the form has
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, Any] | None:
        form = reopening.take_form(ctx)
        try:
            return self.run(ctx)
        except QdrantPluginError as e:
            if form is None:
                raise

            reopening.ask_again(ctx, form, self.uri, e)
            return None

    def resolve_output(self, ctx: Any) -> types.Property:
        outputs, results = types.Object(), ctx.results or {}
        reopening.note_end(ctx)
        if "results" not in ctx.request_params:  # nothing ran: what would there be?
            for key, label in self.outputs:
                kind = types.OneOf([types.Number(), types.String()])
                outputs.define_property(key, kind, label=label)

        if STARTED in results:
            return types.Property(outputs)  # nothing: the App closes the form

        for key, label in self.outputs:
            value = results.get(key)
            if isinstance(value, int) and (value or key not in _IF_ANY):
                outputs.int(key, label=label)
            elif value:
                outputs.str(key, label=label)

        return types.Property(outputs, view=types.View(label=self.title or self.label))

    def _run(
        self,
        samples: Any,
        params: Mapping[str, Any],
        delegate: bool = False,
        selected: Iterable[str] | None = None,
        labels: Iterable[str] | None = None,
    ) -> ExecutionResult:
        """Runs this operator from Python on a dataset or view."""
        kind = "view" if isinstance(samples, fo.DatasetView) else "dataset"
        ctx: dict[str, Any] = {kind: samples}
        if selected is not None:
            ctx["selected"] = list(selected)

        if labels is not None:
            ctx["selected_labels"] = [{"label_id": i} for i in labels]

        given = {name: value for name, value in params.items() if value is not None}
        return foo.execute_operator(
            self.uri, ctx, params=given, request_delegation=delegate
        )


def _refuse_secrets(ctx: Any, inputs: Any) -> None:
    """Marks secrets as wrong: before they are queued, which stores them."""
    if ctx.params.get("api_key") is not None:
        inputs.str("api_key", label="API key")
        mark_invalid(inputs, "api_key", API_KEY)

    if "@" in str(ctx.params.get("url") or ""):
        if inputs.get_property("url") is None:
            inputs.str("url", label="URL")

        mark_invalid(inputs, "url", USER_IN_URL)


def progress(ctx: Any) -> Callable[[Any], None]:
    """Returns a progress function that tells FiftyOne how far an ingest is."""
    pace = Pace()

    def tell(bar: Any) -> None:
        pace.advance(bar.iteration)
        waiting = getattr(bar, "waiting", None)
        label = progress_label(bar.iteration, bar.total, pace.rate, waiting)
        ctx.set_progress(bar.iteration / max(bar.total, 1), label=label)

    return tell


def chosen_index(ctx: Any, samples: Any = None) -> QdrantSimilarityIndex:
    """Returns the index that the params name.

    Args:
        ctx: the execution context
        samples (None): what its queries are restricted to, by default the dataset

    Raises:
        ConfigError: if they name none
        IndexNotFound: if the dataset does not have it
    """
    key = ctx.params.get("brain_key")
    if not key:
        known = ", ".join(map(repr, list_indexes(ctx.dataset))) or "none yet"
        raise ConfigError(f"Give the brain_key of a Qdrant index. There is {known}")

    return load_index(ctx.dataset if samples is None else samples, key)


def connection_keywords(ctx: Any, **chosen: Any) -> dict[str, Any]:
    """Returns where Qdrant is, from the params and the plugin's secrets.

    Args:
        ctx: the execution context
        **chosen: what counts instead of the params of these names

    Raises:
        ConfigError: if the params hold an API key: params are stored and shown
    """
    if ctx.params.get("api_key") is not None:
        raise ConfigError(API_KEY)

    if "@" in str(ctx.params.get("url") or ""):
        raise ConfigError(USER_IN_URL)

    given = {name: ctx.params.get(name) for name in KEYWORDS if name != "api_key"}
    secrets = {name: ctx.secrets.get(ENVIRONMENT[name]) for name in KEYWORDS}
    return belonging({**given, **chosen}, secrets)


def selected_ids(
    ctx: Any,
    index: QdrantSimilarityIndex,
    target: str | None = None,
    otherwise: Sequence[str] = (),
) -> dict[str, list[str]]:
    """Returns what is selected, as ``sample_ids`` or ``label_ids`` of an index.

    For an index of patches, selected labels count, and selected samples stand for
    all their labels. In a patches view, what is selected are labels; for an index of
    frames or clips, selected videos stand for theirs.

    Args:
        ctx: the execution context
        index: the index
        target (None): ``"SELECTED_SAMPLES"`` or ``"SELECTED_LABELS"`` if just those
            are meant
        otherwise (()): the ids of samples that count as selected if none is

    Raises:
        ConfigError: if nothing that the index can hold is selected
    """
    field = index.config.patches_field
    samples = [] if target == "SELECTED_LABELS" else list(ctx.selected or otherwise)
    labels = [] if target == "SELECTED_SAMPLES" else ctx.selected_labels or []
    if field is not None:
        ids = [i["label_id"] for i in labels if i.get("field", field) == field]
        if ids:
            return {"label_ids": ids}

    if not samples:
        if field is None and labels:
            raise ConfigError(
                f"Labels are selected, but index '{index.key}' holds {index.held}. "
                f"Select {index.held} first"
            )

        what = "samples" if field is None else f"samples or '{field}' labels"
        raise ConfigError(f"Nothing is selected. Select {what} first")

    view = ctx.dataset if ctx.view is None else ctx.view
    if index.held.in_parts(view) or index.held.stands_for_parts(view):
        return ids_in(index, view.select(samples))

    return {"sample_ids": samples}
