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
        inputs.str(
            "brain_key",
            required=True,
            view=types.Warning(
                label="This dataset has no Qdrant index",
                description="Create one with 'Create Qdrant Index' first",
            ),
        )
        return None

    dropdown = types.DropdownView()
    for key in keys:
        dropdown.add_choice(key, label=key)

    inputs.enum(
        "brain_key",
        dropdown.values(),
        default=keys[0],
        label="Index",
        description="The Qdrant index to use",
        view=dropdown,
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

    warning = types.Warning(
        label="Nothing is selected", description="Select samples or labels first"
    )
    inputs.str("selection", required=True, view=warning)


def mark_invalid(inputs, name, message):
    """Marks a field as wrong: the form shows why and cannot be submitted."""
    field = inputs.get_property(name)
    field.invalid = True
    field.error_message = message


def parameter_inputs(inputs, parameters):
    """Adds a field for each collection parameter; empty means Qdrant's default."""
    for p in parameters:
        add = {bool: inputs.bool, int: inputs.int, float: inputs.float}.get(p.type)
        limits = {"min": p.minimum, "max": p.maximum} if p.type in (int, float) else {}
        text = f"{p.description}. {p.advice}".rstrip(". ")
        if p.default is not None:
            text = f"{text}. Default: {p.default}"

        about = {"label": p.name, "description": text}
        if add is not None:
            add(p.name, **about, **{k: v for k, v in limits.items() if v is not None})
            continue

        choices = types.DropdownView()
        for choice in p.choices:
            choices.add_choice(choice, label=choice)

        inputs.enum(p.name, choices.values(), view=choices, **about)
