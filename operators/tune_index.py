"""Tune Index: change HNSW, quantization, storage and limits of calls, in place."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import tune
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.parameters.table import TUNABLE
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status.indexes import load_impatient
from fiftyone_qdrant.status.jobs import watched
from fiftyone_qdrant.tuning import OFF, PRESETS, in_force, plan_tuning, tunable

from .forms import (
    brain_key_input,
    message,
    parameter_inputs,
    quantization_inputs,
    without_empty,
)
from .in_background import start_in_background
from .qdrant_operator import QdrantOperator, chosen_index, progress
from .reopening import is_shown
from .tune_measured import MEASURED, measured_inputs, run_measured

_PARAMS = (
    *("brain_key", "preset", "quantization", "dry_run", "what", "recall", "curve"),
    *TUNABLE,
)
_ADVANCED = "advanced"
_PRESETS = {
    MEASURED: ("Measured", "See what searches find, and choose the recall you want"),
    "exact": ("Exact", "Whole vectors in memory and a dense graph: finds the most"),
    "balanced": ("Balanced", "Searches copies of a quarter of the size: faster"),
    "small_memory": ("Small memory", "Only those copies in memory, vectors on disk"),
    _ADVANCED: ("Advanced", "Set each setting by hand"),
}


class TuneIndex(QdrantOperator):
    """Changes the settings of an index's collection while it is in use."""

    name = "tune_index"
    label = "Tune Qdrant Index"
    description = "Change the HNSW, quantization, storage and limits of an index"
    on_views = False
    title = "Index tuned"
    outputs = (
        ("summary", "Before → after"),
        ("cost", "Cost"),
        ("ignored", "Parameters this engine does not have"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        try:
            index = load_impatient(ctx.dataset, key)
            if ctx.params.get("preset") == MEASURED:
                _preset_input(inputs)
                measured_inputs(ctx, inputs, index)
                return

            _plan_input(ctx, inputs, index)
            _preset_input(inputs)
            if ctx.params.get("preset") == _ADVANCED:
                _settings_inputs(ctx, inputs, index)
        except QdrantPluginError as e:
            inputs.view("failure", types.Error(label=str(e)))

    def run(self, ctx: Any) -> dict[str, Any]:
        unknown = sorted(set(ctx.params) - set(_PARAMS))
        if unknown:
            raise ConfigError(f"Unknown parameter {', '.join(map(repr, unknown))}")

        if ctx.params.get("preset") == MEASURED:
            return self._run_measured(ctx)

        change = plan_tuning if ctx.params.get("dry_run") else tune
        done = change(chosen_index(ctx), **_settings(ctx.params))
        return {
            "changes": [
                {"setting": c.setting, "before": c.before, "after": c.after}
                for c in done.changes
            ],
            "summary": done.summary,
            "cost": done.cost,
            "ignored": ", ".join(done.ignored) or None,
        }

    def _run_measured(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx)
        started = start_in_background(self, ctx, "measure", index.key)
        if started is not None:
            return started

        with watched(ctx.dataset, "measure", index.key, progress(ctx)) as tell:
            return run_measured(ctx, index, tell)

    def in_words(self, result: dict[str, Any]) -> str:
        return str(result["summary"])

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        hnsw_config: dict[str, Any] | None = None,
        quantization_config: dict[str, Any] | str | None = None,
        optimizers_config: dict[str, Any] | None = None,
        on_disk: bool | None = None,
        dry_run: bool = False,
        delegate: bool = False,
        strict_mode_config: dict[str, Any] | None = None,
        preset: str | None = None,
        recall: float | None = None,
        what: str | None = None,
    ) -> ExecutionResult:
        """Changes settings of an index in place.

        Args:
            samples: the dataset
            brain_key: the index
            hnsw_config (None): a dict with the settings of the graph to change
            quantization_config (None): a dict such as
                ``{"scalar": {"always_ram": True}}``, or ``"Disabled"``
            optimizers_config (None): a dict with the settings of the optimizers to
                change
            on_disk (None): whether vectors are served from disk
            dry_run (False): only say what would change, and what it would cost
            delegate (False): run it in a delegated worker
            strict_mode_config (None): a dict with the limits of calls to set, of
                everyone who uses the collection; a server's
            preset (None): ``"exact"``, ``"balanced"`` or ``"small_memory"``, in place
                of settings, or ``"measured"``
            recall (None): with ``preset="measured"``, the recall that searches are to
                reach from now on; without it, what they reach is measured
            what (None): with ``preset="measured"``, ``"measure"`` to measure anew,
                ``"apply"``, or ``"defaults"`` to search with the defaults again

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the
            ``changes``, their ``summary`` and ``cost``, and what was ``ignored``
        """
        params = {
            "brain_key": brain_key,
            "hnsw_config": hnsw_config,
            "quantization_config": quantization_config,
            "optimizers_config": optimizers_config,
            "on_disk": on_disk,
            "dry_run": dry_run,
            "strict_mode_config": strict_mode_config,
            "preset": preset,
            "recall": recall,
            "what": what,
        }
        return self._run(samples, params, delegate)


def _plan_input(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    """Says what would change, and what it would cost."""
    settings = _settings(ctx.params)
    if not settings and is_shown(ctx):
        message(inputs, "plan", "Choose what matters most", (), True, types.Notice)
        return

    try:
        plan = plan_tuning(index, **settings)
    except ConfigError as e:
        message(inputs, "plan", str(e), stops=True)
        return

    if plan.changes:
        message(inputs, "plan", plan.summary, [f"Cost: {plan.cost}"])
    else:
        words = "Nothing to change: these settings are in force"
        message(inputs, "plan", words, (), is_shown(ctx), types.Notice)


def _preset_input(inputs: Any) -> None:
    choices = types.RadioGroup(orientation="vertical")
    for name, (label, about) in _PRESETS.items():
        choices.add_choice(name, label=label, description=about)

    inputs.enum("preset", choices.values(), label="What matters most", view=choices)


def _settings_inputs(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    """Adds a field for each setting, with the value in force."""
    values, engine = in_force(index), index.config.engine
    own, groups = tunable(index)
    quantization_inputs(ctx, inputs, values["quantization_config"], engine)
    parameter_inputs(inputs, own, values, engine)
    for group in groups:
        section = inputs.obj(group.name, label=group.label).type
        parameter_inputs(section, group.parameters, values[group.name], engine)


def _settings(params: dict[str, Any]) -> dict[str, Any]:
    """Returns the keywords of ``tune()``; a form sends empty fields as ``None``."""
    if params.get("preset") in PRESETS:
        return PRESETS[params["preset"]]

    settings = {name: without_empty(params.get(name)) for name in TUNABLE}
    kind = params.get("quantization")  # the form's choice; Python gives the dict
    if kind is not None:
        given = (settings["quantization_config"] or {}).get(kind) or {}
        settings["quantization_config"] = OFF if kind == "none" else {kind: given}

    return {name: value for name, value in settings.items() if value is not None}
