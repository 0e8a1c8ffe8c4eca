"""Tune Index: change HNSW, quantization, storage and limits of calls, in place."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index, tune
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.parameters.table import TUNABLE
from fiftyone_qdrant.tuning import OFF, in_force, plan_tuning, tunable

from .forms import (
    brain_key_input,
    mark_invalid,
    parameter_inputs,
    quantization_inputs,
    without_empty,
)
from .qdrant_operator import QdrantOperator, chosen_index

_PARAMS = ("brain_key", "quantization", "dry_run", *TUNABLE)


class TuneIndex(QdrantOperator):
    """Changes the settings of an index's collection while it is in use."""

    name = "tune_index"
    label = "Tune Index"
    description = "Change an index's HNSW, quantization, storage and limits"
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
            index = load_index(ctx.dataset, key)
            _settings_inputs(ctx, inputs, index)
            plan = plan_tuning(index, **_settings(ctx.params))
        except ConfigError as e:
            inputs.view("failure", types.Error(label=str(e)))
            mark_invalid(inputs, "brain_key", str(e))
        except QdrantPluginError as e:
            inputs.view("failure", types.Error(label=str(e)))
        else:
            about = f"Cost: {plan.cost}" if plan.changes else ""
            inputs.view("plan", types.Notice(label=plan.summary, description=about))

    def run(self, ctx: Any) -> dict[str, Any]:
        unknown = sorted(set(ctx.params) - set(_PARAMS))
        if unknown:
            raise ConfigError(f"Unknown parameter {', '.join(map(repr, unknown))}")

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

    def __call__(
        self,
        samples,
        brain_key,
        hnsw_config=None,
        quantization_config=None,
        optimizers_config=None,
        on_disk=None,
        dry_run=False,
        delegate=False,
        strict_mode_config=None,
    ):
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
        }
        return self._run(samples, params, delegate)


def _settings_inputs(ctx, inputs, index):
    """Adds a field for each setting, with the value in force."""
    values = in_force(index)
    own, groups = tunable(index)
    quantization_inputs(ctx, inputs, values["quantization_config"])
    parameter_inputs(inputs, own, values)
    for group in groups:
        section = inputs.obj(group.name, label=group.label).type
        parameter_inputs(section, group.parameters, values[group.name])


def _settings(params):
    """Returns the keywords of ``tune()``; a form sends empty fields as ``None``."""
    settings = {name: without_empty(params.get(name)) for name in TUNABLE}
    kind = params.get("quantization")  # the form's choice; Python gives the dict
    if kind is not None:
        given = (settings["quantization_config"] or {}).get(kind) or {}
        settings["quantization_config"] = OFF if kind == "none" else {kind: given}

    return {name: value for name, value in settings.items() if value is not None}
