"""Form fields that several operators show."""

import fiftyone.operators.types as types

from fiftyone_qdrant.runs import list_indexes


def brain_key_input(ctx, inputs):
    """Adds the choice of one of the dataset's Qdrant indexes.

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

    inputs.enum(
        "brain_key",
        keys,
        default=keys[0],
        label="Index",
        description="The Qdrant index to use",
        view=dropdown(keys),
    )
    key = ctx.params.get("brain_key", keys[0])
    if key in keys:
        return key

    mark_invalid(inputs, "brain_key", f"There is no Qdrant index '{key}'")
    return None


def selection_notice(ctx, inputs):
    """Says how much is selected; with nothing selected the form cannot be sent."""
    count = len(ctx.selected_labels or []) or len(ctx.selected or [])
    if count:
        inputs.view("selection", types.Notice(label=f"{count:,} selected"))
        return

    words = "Nothing is selected. Select samples or labels first"
    inputs.str("selection", view=types.Warning(label=words))
    mark_invalid(inputs, "selection", words)


def mark_invalid(inputs, name, message):
    """Marks a field as wrong: the form shows why and cannot be submitted."""
    field = inputs.get_property(name)
    field.invalid = True
    field.error_message = message


def dropdown(values, labels=None):
    """Returns a dropdown of values."""
    view = types.DropdownView()
    for value in values:
        view.add_choice(value, label=(labels or {}).get(value, value))

    return view


def parameter_inputs(inputs, parameters):
    """Adds a field for each collection parameter; empty means Qdrant's default."""
    for p in parameters:
        about = {"label": p.name, "description": _description(p)}
        if p.type is bool:
            inputs.bool(p.name, **about)
        elif p.type is str:
            inputs.enum(p.name, p.choices, view=dropdown(p.choices), **about)
        else:
            limits = {"min": p.minimum, "max": p.maximum}
            about.update((k, v) for k, v in limits.items() if v is not None)
            (inputs.int if p.type is int else inputs.float)(p.name, **about)


def _description(p):
    text = f"{p.description}. {p.advice}".rstrip(". ")
    if p.default is None:
        return text

    default = {True: "on", False: "off"}.get(p.default, p.default)
    return f"{text}. Default: {default}"
