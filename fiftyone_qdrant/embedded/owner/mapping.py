"""From ``qdrant_client.models``, as they come over the wire, to the engine's objects.

A model is a dict of its fields, with the name of its class under ``""``; a member of an
enum is ``{"": [class, value]}``. Most classes of the engine have the same name and the
same fields; ``MADE_BY`` has the others. Point ids are in a buffer, as ``[kind, number
of the buffer]``, and so are vectors, as its number.
"""

from __future__ import annotations

import inspect
import struct
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial, wraps
from hashlib import blake2b
from typing import Any

import numpy as np
import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol

Buffers = Sequence[memoryview]
Stored = Mapping[Any, Any]
"""Vectors of points, by their ids."""

_ID_SETS_KEPT = 4
_ID_BYTES_KEPT = 16 << 20  # a million UUIDs; their set takes some ten times as much
_id_sets: OrderedDict[bytes, Any] = OrderedDict()  # one call at a time is atomic


def as_list(value: Any) -> list[Any]:
    """Returns a list of what may be given alone."""
    return value if isinstance(value, list) else [value]


# -- ids ----------------------------------------------------------------------


def to_ids(ref: list[Any], buffers: Buffers) -> list[Any]:
    """Returns the engine's ids (ints and ``uuid.UUID``) for an id reference."""
    kind, data = ref[0], buffers[ref[1]]
    if kind == "u":
        return _uuids(bytes(data))

    mixed = protocol.unpack_ids(kind, data)
    return [i if isinstance(i, int) else uuid.UUID(i) for i in mixed]


def _uuids(data: bytes) -> list[uuid.UUID]:
    # uuid.UUID(bytes=...) is five times slower: it checks and converts what is
    # known to be sixteen bytes
    new, cls, put = object.__new__, uuid.UUID, object.__setattr__
    out = []
    for high, low in struct.iter_unpack(">QQ", data):
        item = new(cls)
        put(item, "int", high << 64 | low)
        put(item, "is_safe", uuid.SafeUUID.unknown)
        out.append(item)

    return out


def _has_id(ref: list[Any], buffers: Buffers) -> Any:
    """Returns a ``HasIdCondition``; the last few large ones are kept.

    A view is usually searched many times, and building the set of its ids costs
    more than the search.
    """
    data = buffers[ref[1]]
    if len(data) < 1 << 14:
        return qe.HasIdCondition(set(to_ids(ref, buffers)))

    key = ref[0].encode() + blake2b(data, digest_size=16).digest()
    condition = _id_sets.get(key)
    if condition is None:
        condition = qe.HasIdCondition(set(to_ids(ref, buffers)))
        if len(data) <= _ID_BYTES_KEPT:
            _id_sets[key] = condition

        while len(_id_sets) > _ID_SETS_KEPT:
            _id_sets.popitem(last=False)

    return condition


# -- models -------------------------------------------------------------------


class _Bool:
    """A bool that the engine takes for one.

    The engine first tries whether a value is an integer, which Python's bool is, and
    NumPy's too in some versions. This has no ``__index__``, and the name under which
    PyO3 knows NumPy's.
    """

    def __init__(self, value: bool) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return self._value


_Bool.__module__, _Bool.__name__ = "numpy", "bool"


def _match_value(value: Any) -> Any:
    exactly: Any = _Bool(value) if isinstance(value, bool) else value
    return qe.MatchValue(exactly)


def _filter(
    must: Any = None, should: Any = None, must_not: Any = None, min_should: Any = None
) -> Any:
    clauses = {"must": must, "should": should, "must_not": must_not}
    lists = {k: as_list(v) for k, v in clauses.items() if v is not None}
    return qe.Filter(min_should=min_should, **lists)


def _value(value: Any) -> Any:
    return value


def _order_by(order_by: Any) -> Any:
    return qe.OrderBy(order_by) if isinstance(order_by, str) else order_by


def _of_expressions(make: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a maker to whom numbers, variables and conditions are expressions."""

    @wraps(make)
    def made(**parts: Any) -> Any:
        for name in _EXPRESSIONS & parts.keys():
            part = parts[name]
            several = isinstance(part, list)
            parts[name] = [*map(_expression, part)] if several else _expression(part)

        return make(**parts)

    return made


def _expression(value: Any) -> Any:
    if isinstance(value, qe.Expression):
        return value

    if isinstance(value, (int, float)):
        return qe.Expression.Constant(value)

    if isinstance(value, str):
        return qe.Expression.Variable(value)

    return qe.Expression.Condition(value)


def _decay(x: Any, target: Any = None, midpoint: Any = None, scale: Any = None) -> Any:
    return lambda kind: qe.Expression.Decay(kind, x, target, midpoint, scale)


def _decayed(kind: Any, decay: Any) -> Any:
    return decay(kind)


# Queries, which name the vector that they are by (``using``), are made when it is known


def _nearest(nearest: Any, mmr: Any = None) -> Any:
    if mmr is None:
        return lambda using, reach: qe.Query.Nearest(nearest, using)

    relevance, candidates = mmr
    return lambda using, reach: qe.Mmr(nearest, relevance, candidates or reach, using)


def _mmr(diversity: float = 0.5, candidates_limit: int | None = None) -> Any:
    return 1.0 - diversity, candidates_limit


def _recommend(positive: Any = (), negative: Any = (), strategy: Any = None) -> Any:
    if not len(positive) and (strategy is None or not len(negative)):
        raise errors.ConfigError("a recommendation needs a positive example")

    if strategy is not None:
        query = qe.RecommendQuery(positive, negative)
        return lambda using, reach: strategy(query, using)

    average: Any = np.mean(np.asarray(positive, dtype=np.float32), axis=0)
    if len(negative):
        far: Any = np.mean(np.asarray(negative, dtype=np.float32), axis=0)
        average = 2 * average - far

    return _nearest(average)


def _discover(target: Any, context: Any) -> Any:
    query = qe.DiscoverQuery(target, as_list(context))
    return lambda using, reach: qe.Query.Discover(query, using)


def _context(context: Any) -> Any:
    query = qe.ContextQuery(as_list(context))
    return lambda using, reach: qe.Query.Context(query, using)


def _feedback(target: Any, feedback: Any, strategy: Any) -> Any:
    query = qe.FeedbackNaiveQuery(target, feedback, strategy)
    return lambda using, reach: qe.Query.FeedbackNaive(query, using)


def _text(text: Any) -> Any:
    query, scoring = (text, None) if isinstance(text, str) else text
    return lambda using, reach: qe.TextQuery(using, query, scoring)


def _text_input(query: str, scoring: Any = None) -> Any:
    return query, scoring


_EXPRESSIONS = frozenset(
    ("expr", "exprs", "left", "right", "base", "exponent", "x", "target", "formula")
)
_operations = {
    "exprs": ("Mult", "Sum", "Max", "Min"),
    "expr": ("Neg", "Abs", "Sqrt", "Exp", "Log10", "Ln", "Acosh"),
}

MADE_BY: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    # conditions
    "Filter": (_filter, {}),
    "MatchValue": (_match_value, {}),
    "MatchExcept": (lambda except_: qe.MatchExcept(except_), {}),
    "Range": (qe.RangeFloat, {}),
    "DatetimeRange": (qe.RangeDateTime, {}),
    "GeoLineString": (_value, {"points": "value"}),
    "PayloadField": (_value, {"key": "value"}),
    "IsEmptyCondition": (qe.IsEmptyCondition, {"is_empty": "key"}),
    "IsNullCondition": (qe.IsNullCondition, {"is_null": "key"}),
    "HasVectorCondition": (qe.HasVectorCondition, {"has_vector": "vector"}),
    "Nested": (qe.NestedCondition, {}),
    "NestedCondition": (_value, {"nested": "value"}),
    "Slice": (qe.SliceCondition, {}),  # type: ignore[attr-defined]
    "SliceCondition": (_value, {"slice": "value"}),
    # what is returned
    "PayloadSelectorInclude": (qe.PayloadSelector.Include, {"include": "keys"}),
    "PayloadSelectorExclude": (qe.PayloadSelector.Exclude, {"exclude": "keys"}),
    # queries
    "NearestQuery": (_nearest, {}),
    "Mmr": (_mmr, {}),
    "RecommendQuery": (_value, {"recommend": "value"}),
    "RecommendInput": (_recommend, {}),
    "DiscoverQuery": (_value, {"discover": "value"}),
    "DiscoverInput": (_discover, {}),
    "ContextQuery": (_context, {}),
    "RelevanceFeedbackQuery": (_value, {"relevance_feedback": "value"}),
    "RelevanceFeedbackInput": (_feedback, {}),
    "TextQuery": (_text, {}),
    "TextQueryInput": (_text_input, {}),
    "FeedbackItem": (qe.FeedbackItem, {"example": "vector"}),
    "NaiveFeedbackStrategy": (_value, {"naive": "value"}),
    "NaiveFeedbackStrategyParams": (qe.NaiveFeedbackStrategy, {}),
    "OrderByQuery": (_order_by, {}),
    "SampleQuery": (_value, {"sample": "value"}),
    "FusionQuery": (_value, {"fusion": "value"}),
    "RrfQuery": (_value, {"rrf": "value"}),
    "Rrf": (lambda k=2, weights=None: qe.Fusion.Rrf(k, weights), {}),
    "Bm25Scoring": (_value, {"bm25": "value"}),
    # formulas
    "FormulaQuery": (_of_expressions(qe.Formula), {}),
    "GeoDistance": (_value, {"geo_distance": "value"}),
    "GeoDistanceParams": (qe.Expression.GeoDistance, {}),
    "DatetimeExpression": (qe.Expression.Datetime, {"datetime": "date_time"}),
    "DatetimeKeyExpression": (qe.Expression.DatetimeKey, {"datetime_key": "path"}),
    "DivExpression": (_value, {"div": "value"}),
    "DivParams": (_of_expressions(qe.Expression.Div), {}),
    "PowExpression": (_value, {"pow": "value"}),
    "PowParams": (_of_expressions(qe.Expression.Pow), {}),
    "DecayParamsExpression": (_of_expressions(_decay), {}),
    **{
        f"{kind}DecayExpression": (
            partial(_decayed, getattr(qe.DecayKind, kind)),
            {f"{kind.lower()}_decay": "decay"},
        )
        for kind in ("Lin", "Exp", "Gauss")
    },
    **{
        f"{name}Expression": (
            _of_expressions(getattr(qe.Expression, name)),
            {name.lower(): field},
        )
        for field, names in _operations.items()
        for name in names
    },
    # payload indexes
    "DisabledStemmerParams": (qe.DisabledStemmer, {}),
}
"""Makers of what the engine has under another name, and its names of the fields."""

MEMBERS: dict[tuple[str, str], Any] = {
    ("Fusion", "rrf"): qe.Fusion.Rrf(2),
    ("Fusion", "dbsf"): qe.Fusion.Dbsf(),
    ("RecommendStrategy", "average_vector"): None,
    ("RecommendStrategy", "best_score"): qe.Query.RecommendBestScore,
    ("RecommendStrategy", "sum_scores"): qe.Query.RecommendSumScores,
}
"""Members of enums which the engine has as something else."""


def made(wire: Any, buffers: Buffers, stored: Stored | None = None) -> Any:
    """Returns the engine's object for a model on the wire, or for a list of them.

    Args:
        wire: models, or what JSON has
        buffers: the buffers of the message
        stored: the vectors of the points that are named as examples, by their ids

    Raises:
        UnsupportedByEngine: if the engine has no such class, field or member
    """
    if isinstance(wire, list):
        return [made(item, buffers, stored) for item in wire]

    if not isinstance(wire, dict) or "" not in wire:
        return wire

    name = wire[""]
    if name == "Example":
        if "id" in wire:
            return (stored or {})[to_ids(wire["id"], buffers)[0]]

        return buffers[wire["vector"]].cast("f")

    if name == "HasIdCondition":
        return _has_id(wire["has_id"], buffers)

    if isinstance(name, list):
        return member(*name)

    make, names = maker(name)
    parts: dict[str, Any] = {
        names.get(field) or field: part
        for field, part in wire.items()
        if field not in ("", "type")
    }
    refuse(name, parts.keys() - fields(make))
    return make(**{f: made(part, buffers, stored) for f, part in parts.items()})


def maker(name: str) -> tuple[Callable[..., Any], dict[str, str]]:
    """Returns what makes the engine's object of a model, and its names of fields."""
    make, names = MADE_BY.get(name) or (getattr(qe, name, None), {})
    if make is None:
        raise errors.UnsupportedByEngine(f"the embedded engine has no {name}")

    return make, names


@cache
def fields(make: Callable[..., Any]) -> frozenset[str]:
    """Returns the names of a maker's arguments."""
    return frozenset(inspect.signature(make).parameters)


def refuse(name: str, unknown: Iterable[str]) -> None:
    """Raises ``UnsupportedByEngine`` if there are fields that the engine has not."""
    found = ", ".join(f"{name}.{field}" for field in sorted(unknown))
    if found:
        raise errors.UnsupportedByEngine(
            f"the embedded engine does not support {found}. Leave it out, or use a "
            "Qdrant server (url=)"
        )


def member(name: str, value: str) -> Any:
    """Returns the engine's member of an enum, such as ``Memory`` and ``"cold"``."""
    if (name, value) in MEMBERS:
        return MEMBERS[name, value]

    kind = getattr(qe, name, None)
    plain = value.replace("_", "").lower()
    for its_name, found in vars(kind).items() if kind else ():
        if its_name.replace("_", "").lower() == plain:
            return found

    raise errors.UnsupportedByEngine(f"the embedded engine has no {name} '{value}'")
