"""What a call from Python takes, for those who know an operator by its schema only.

A form of the App shows what belongs to its open tab. Without the App, such as to an
agent, the input schema lists every parameter of the operator's call, as that documents
it.
"""

from __future__ import annotations

import inspect
import os
import re
import types as python_types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

import fiftyone.operators.types as types

from fiftyone_qdrant.parameters.parameter import Parameter
from fiftyone_qdrant.parameters.table import COLLECTION, GROUPS, QUANTIZATIONS
from fiftyone_qdrant.qdrant.connection import KEYWORDS
from fiftyone_qdrant.similarity import QdrantSimilarityConfig

OF_THE_CONTEXT = ("samples", "selected", "labels", "delegate")
"""Parameters of a call that are no params: FiftyOne has them in its context."""

_SECRETS = ("api_key",)  # FiftyOne stores params
_ENTRY = re.compile(r"(?:\*\*)?(\w+)(?: \(.*?\))?: (.*)")


def add_call(operator: Any, ctx: Any, inputs: Any) -> None:
    """Adds the parameters of an operator's call that a form does not have yet."""
    call = type(operator).__dict__.get("__call__")
    if call is None:
        return

    for name, (kind, default, about) in parameters(call).items():
        if inputs.get_property(name) is None and _fits(kind, ctx.params.get(name)):
            described: dict[str, Any] = {"description": about}
            if default is not None:
                described["default"] = default

            inputs.define_property(name, kind, required=False, **described)


def parameters(call: Any) -> dict[str, tuple[Any, Any, str]]:
    """Returns the type, default and description of each parameter of a call."""
    found = _of(call, OF_THE_CONTEXT)
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            more = _of(QdrantSimilarityConfig.__init__, _SECRETS) | _settings()
            only = KEYWORDS if parameter.name == "connection" else more
            found |= {n: v for n, v in more.items() if n in only and n not in found}

    return found


def _settings() -> dict[str, tuple[Any, Any, str]]:
    """The settings of a new collection; what is within a group is told in words."""
    found: dict[str, tuple[Any, Any, str]] = {
        p.name: (_type(p.type), None, _in_words(p)) for p in COLLECTION
    }
    for group in GROUPS:
        keys = "; ".join(f"{p.name}: {_in_words(p)}" for p in group.parameters)
        found[group.name] = (types.Object(), None, f"{group.label}. Keys: {keys}")

    kinds = "; ".join(
        f"{key}: {group.label} ({', '.join(p.name for p in group.parameters)})"
        for key, group in QUANTIZATIONS.items()
    )
    words = f"Quantization, one of these keys with an object: {kinds}"
    found["quantization_config"] = (types.Object(), None, words)
    return found


def _in_words(p: Parameter) -> str:
    about = [p.description]
    if p.choices:
        about.append(f"one of {', '.join(p.choices)}")

    if p.minimum is not None:
        about.append(f"at least {p.minimum:,}")

    if p.maximum is not None:
        about.append(f"at most {p.maximum:,}")

    if p.default is not None:
        about.append(f"default {p.default}")

    return ", ".join(about)


def _of(call: Any, without: Sequence[str]) -> dict[str, tuple[Any, Any, str]]:
    hints = get_type_hints(call)
    about = _documented(call) or _documented(QdrantSimilarityConfig)
    found = {}
    for p in inspect.signature(call).parameters.values():
        if p.name == "self" or p.name in without or p.kind is p.VAR_KEYWORD:
            continue

        if about.get(p.name, "").startswith("set by"):
            continue  # the index itself

        default = None if p.default is p.empty else p.default
        found[p.name] = (_type(hints.get(p.name, Any)), default, about.get(p.name, ""))

    return found


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a type; else its operator says better what is wrong."""
    if value is None:
        return True

    if isinstance(kind, types.List):
        fits = isinstance(value, list)
        return fits and all(_fits(kind.element_type, one) for one in value)

    if isinstance(kind, types.Number):
        return isinstance(value, int | float) and not isinstance(value, bool)

    wanted = {types.String: str, types.Boolean: bool, types.Object: dict}
    return isinstance(value, wanted.get(type(kind), object))


def _documented(call: Any) -> dict[str, str]:
    """Returns what a docstring says of each argument."""
    _, _, rest = (inspect.getdoc(call) or "").partition("\nArgs:\n")
    found: dict[str, str] = {}
    name = None
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break  # the next section

        entry = _ENTRY.fullmatch(line[4:])
        if entry is not None and not line.startswith(" " * 5):
            name = entry[1]
            found[name] = entry[2]
        elif name is not None and line.strip():
            found[name] += " " + line.strip()

    return {n: text.replace("``", "'") for n, text in found.items()}


def _type(hint: Any) -> Any:
    """Returns FiftyOne's type of what a parameter takes."""
    if get_origin(hint) in (Union, python_types.UnionType):
        kinds = [h for h in get_args(hint) if h is not type(None)]
        unlike = {str(_type(h).to_json()): _type(h) for h in kinds}
        several = list(unlike.values())
        return several[0] if len(several) == 1 else types.OneOf(several)

    origin = get_origin(hint) or hint
    if origin is bool:
        return types.Boolean()

    if origin in (int, float):
        return types.Number(int=origin is int, float=origin is float)

    if origin in (str, bytes, os.PathLike):
        return types.String()

    if isinstance(origin, type) and issubclass(origin, Mapping):
        return types.Object()

    if isinstance(origin, type) and issubclass(origin, Sequence):
        return types.List(_type((get_args(hint) or (Any,))[0]))

    return types.OneOf([types.String(), types.Number()])
