"""Form fields that several operators show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import list_indexes
from fiftyone_qdrant.parameters.parameter import Parameter
from fiftyone_qdrant.parameters.table import (
    CLUSTER,
    GROUPS,
    PARAMETERS,
    QUANTIZATIONS,
    STORAGE,
)
from fiftyone_qdrant.qdrant.connection import EMBEDDED


def brain_key_input(ctx: Any, inputs: Any, last: str | None = None) -> str | None:
    """Adds the choice of one of the dataset's Qdrant indexes.

    Args:
        ctx: the execution context
        inputs: the form
        last (None): the brain key that was chosen the last time

    Returns:
        the chosen brain key, or ``None`` while there is none to choose from
    """
    keys = list_indexes(ctx.dataset)
    if not keys:
        warning = types.Warning(
            label="This dataset has no Qdrant index",
            description="Create one with 'Create Qdrant Index' first",
        )
        inputs.str("brain_key", view=warning)
        if ctx.params.get("brain_key"):
            return None  # running it says which index is missing

        mark_invalid(inputs, "brain_key", "This dataset has no Qdrant index")
        return None

    default = last if last in keys else keys[0]
    inputs.enum(
        "brain_key",
        keys,
        default=default,
        label="Index",
        description="The Qdrant index to use",
        view=dropdown(keys),
    )
    key: str = ctx.params.get("brain_key", default)
    if key in keys:
        return key

    mark_invalid(inputs, "brain_key", f"There is no Qdrant index '{key}'")
    return None


def selection_notice(ctx: Any, inputs: Any) -> None:
    """Says how much is selected; with nothing selected the form cannot be sent."""
    count = len(ctx.selected_labels or []) or len(ctx.selected or [])
    if count:
        inputs.view("selection", types.Notice(label=f"{count:,} selected"))
        return

    words = "Nothing is selected. Select samples or labels first"
    inputs.str("selection", view=types.Warning(label=words))
    mark_invalid(inputs, "selection", words)


def message(
    inputs: Any,
    name: str,
    words: str,
    notes: Iterable[str | None] = (),
    stops: bool = False,
    view: Any = None,
) -> None:
    """Says something in a form.

    Args:
        inputs: the form
        name: the name of the field that holds it
        words: what it says
        notes (()): more of it; what is empty is left out
        stops (False): whether the form cannot be sent because of it
        view (None): how it looks: by default a warning if it stops, else a notice
    """
    about = ". ".join(note.rstrip(".") for note in notes if note)
    view = view or (types.Warning if stops else types.Notice)
    shown = view(label=words, description=about)
    if not stops:
        inputs.view(name, shown)
        return

    inputs.str(name, view=shown)
    mark_invalid(inputs, name, words)


def mark_invalid(inputs: Any, name: str, message: str) -> None:
    """Marks a field as wrong: the form shows why and cannot be submitted."""
    field = inputs.get_property(name)
    field.invalid = True
    field.error_message = message


def mark_problem(inputs: Any, path: str, message: str) -> bool:
    """Marks a field, such as ``"hnsw_config.m"``, if the form shows it.

    Returns:
        whether it does
    """
    *groups, name = path.split(".")
    for group in groups:
        section = inputs.get_property(group)
        if section is None:
            return False

        inputs = section.type

    if inputs.get_property(name) is None:
        return False

    mark_invalid(inputs, name, message)
    return True


def dropdown(
    values: Iterable[str], labels: Mapping[str, str] | None = None
) -> types.DropdownView:
    """Returns a dropdown of values."""
    view = types.DropdownView()
    for value in values:
        view.add_choice(value, label=(labels or {}).get(value, value))

    return view


def quantization_inputs(
    ctx: Any,
    inputs: Any,
    in_force: Mapping[str, Any] | None = None,
    engine: str | None = None,
) -> None:
    """Adds the choice of a quantization and its parameters.

    Args:
        ctx: the execution context
        inputs: the form
        in_force (None): the ``quantization_config`` that the collection has
        engine (None): as for :func:`parameter_inputs`
    """
    kind = next(iter(in_force or ()), "none")
    labels = {"none": "None", **{k: g.label for k, g in QUANTIZATIONS.items()}}
    inputs.enum(
        "quantization",
        list(labels),
        default=kind,
        label="Quantization",
        description="Search compressed copies of the vectors: less memory, less exact",
        view=dropdown(labels, labels),
    )
    group = QUANTIZATIONS.get(ctx.params.get("quantization", kind))
    if group is not None:
        chosen = inputs.obj("quantization_config").type.obj(group.key).type
        values = (in_force or {}).get(str(group.key))
        parameter_inputs(chosen, group.parameters, values, engine)


def parameter_inputs(
    inputs: Any,
    parameters: Iterable[Parameter],
    in_force: Mapping[str, Any] | None = None,
    engine: str | None = None,
) -> None:
    """Adds a field for each collection parameter; empty means Qdrant's default.

    Args:
        inputs: the form
        parameters: the parameters; what leaves no choice is left out
        in_force (None): their values now, by name
        engine (None): shows what this engine has, with its defaults
    """
    for p in parameters:
        if (engine == EMBEDDED and not p.embedded) or len(p.choices) == 1:
            continue

        about: dict[str, Any] = {
            "label": f"{p.label or p.description} ({p.name})",
            "description": _description(p, engine),
        }
        value = (in_force or {}).get(p.name)
        if value is not None:
            about["default"] = value
        if p.type is bool:
            inputs.bool(p.name, **about)
        elif p.type is str:
            inputs.enum(p.name, p.choices, view=dropdown(p.choices), **about)
        else:
            limits = {"min": p.minimum, "max": p.maximum}
            about.update((k, v) for k, v in limits.items() if v is not None)
            (inputs.int if p.type is int else inputs.float)(p.name, **about)


def settings_inputs(ctx: Any, inputs: Any, engine: str | None) -> None:
    """Adds all settings that a new collection may have on an engine."""
    parameter_inputs(inputs, STORAGE, engine=engine)
    quantization_inputs(ctx, inputs, engine=engine)
    for group in GROUPS:
        if engine != EMBEDDED or any(p.embedded for p in group.parameters):
            section = inputs.obj(group.name, label=group.label).type
            parameter_inputs(section, group.parameters, engine=engine)

    parameter_inputs(inputs, CLUSTER, engine=engine)


def given_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a collection that a form was filled in with."""
    given = {name: without_empty(params.get(name)) for name in PARAMETERS}
    kind = params.get("quantization")  # the form's choice; Python gives the dict
    if kind is not None:
        chosen = (given["quantization_config"] or {}).get(kind) or {}
        given["quantization_config"] = None if kind == "none" else {kind: chosen}

    return {name: value for name, value in given.items() if value not in (None, {})}


def without_empty(value: Any) -> Any:
    """Returns a form's value; its objects without the fields that were left empty."""
    if not isinstance(value, dict):
        return value

    kept = {k: without_empty(v) for k, v in value.items()}
    return {k: v for k, v in kept.items() if v is not None}


def _description(p: Parameter, engine: str | None) -> str:
    about = f"{p.description}. {p.advice}" if p.label else p.advice
    text = about.rstrip(". ")
    if p.here and engine == EMBEDDED:
        return f"{text}. Default here: {p.here}"

    if p.default is None:
        return f"{text}. Default: Qdrant's choice"

    if p.type is bool:
        return f"{text}. Default: {'on' if p.default else 'off'}"

    number = p.type is not str
    return f"{text}. Default: {format(p.default, ',') if number else p.default}"
