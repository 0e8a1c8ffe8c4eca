"""From the wire's dicts to the engine's objects: ids, filters, parameters.

The dicts have the shape of Qdrant's REST API, except that ids travel as
``[kind, buffer number]`` and vectors as a buffer number. Configurations are in
:mod:`fiftyone_qdrant.embedded.owner.settings`.
"""

from __future__ import annotations

import struct
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol

Buffers = Sequence[memoryview]

_ID_SETS_KEPT = 4
_ID_BYTES_KEPT = 16 << 20  # a million UUIDs; their set takes some ten times as much
_id_sets: OrderedDict[bytes, Any] = OrderedDict()


# -- ids ----------------------------------------------------------------------


def ids_from_wire(ref: list[Any], buffers: Buffers) -> list[Any]:
    """Returns the engine's ids (ints and ``uuid.UUID``) for an id reference."""
    kind, data = ref[0], buffers[ref[1]]
    if kind == "u":
        return _uuids(bytes(data))

    if kind == "i":
        return list(struct.unpack(f"<{len(data) // 8}Q", data))

    return [i if isinstance(i, int) else uuid.UUID(i) for i in _mixed(data)]


def _mixed(data: memoryview) -> list[protocol.PointId]:
    return protocol.unpack_ids("m", data)


def _uuids(data: bytes) -> list[uuid.UUID]:
    # uuid.UUID(bytes=...) is five times slower: it checks and converts what is
    # known to be sixteen bytes
    new, cls, put, integer = (
        object.__new__,
        uuid.UUID,
        object.__setattr__,
        int.from_bytes,
    )
    out = []
    for i in range(0, len(data), 16):
        item = new(cls)
        put(item, "int", integer(data[i : i + 16], "big"))
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
        return qe.HasIdCondition(set(ids_from_wire(ref, buffers)))

    key = ref[0].encode() + blake2b(data, digest_size=16).digest()
    condition = _id_sets.get(key)
    if condition is None:
        condition = qe.HasIdCondition(set(ids_from_wire(ref, buffers)))
        if len(data) <= _ID_BYTES_KEPT:
            _id_sets[key] = condition

        while len(_id_sets) > _ID_SETS_KEPT:
            _id_sets.popitem(last=False)

    return condition


# -- filters ------------------------------------------------------------------


def filter_from_wire(wire: dict[str, Any] | None, buffers: Buffers) -> Any:
    """Returns the engine's ``Filter`` for a filter dict, or None."""
    if wire is None:
        return None

    clauses: dict[str, Any] = {
        name: [condition_from_wire(c, buffers) for c in wire[name]]
        for name in ("must", "should", "must_not")
        if wire.get(name) is not None
    }
    least = wire.get("min_should")
    if least is not None:
        clauses["min_should"] = qe.MinShould(
            [condition_from_wire(c, buffers) for c in least["conditions"]],
            least["min_count"],
        )

    return qe.Filter(**clauses)


def condition_from_wire(wire: dict[str, Any], buffers: Buffers) -> Any:
    """Returns the engine's condition for a condition dict."""
    if "key" in wire:
        return _field_condition(wire)

    if "has_id" in wire:
        return _has_id(wire["has_id"], buffers)

    if "is_empty" in wire:
        return qe.IsEmptyCondition(wire["is_empty"]["key"])

    if "is_null" in wire:
        return qe.IsNullCondition(wire["is_null"]["key"])

    if "has_vector" in wire:
        return qe.HasVectorCondition(wire["has_vector"])

    if "nested" in wire:
        nested = wire["nested"]
        return qe.NestedCondition(
            nested["key"], filter_from_wire(nested["filter"], buffers)
        )

    if "slice" in wire:
        part = wire["slice"]
        return qe.SliceCondition(total=part["total"], index=part["index"])  # type: ignore[attr-defined]

    return filter_from_wire(wire, buffers)


def _field_condition(wire: dict[str, Any]) -> Any:
    parts: dict[str, Any] = {}
    for name, value in wire.items():
        if name == "match":
            parts[name] = _match(value)
        elif name == "range":
            text = any(isinstance(v, str) for v in value.values())
            parts[name] = (qe.RangeDateTime if text else qe.RangeFloat)(**value)
        elif name == "geo_bounding_box":
            parts[name] = qe.GeoBoundingBox(
                _geo(value["top_left"]), _geo(value["bottom_right"])
            )
        elif name == "geo_radius":
            parts[name] = qe.GeoRadius(_geo(value["center"]), value["radius"])
        elif name == "geo_polygon":
            parts[name] = qe.GeoPolygon(
                _ring(value["exterior"]),
                [_ring(r) for r in value.get("interiors") or []],
            )
        elif name == "values_count":
            parts[name] = qe.ValuesCount(**value)
        elif name in ("key", "is_empty", "is_null"):
            parts[name] = value
        else:
            raise errors.UnsupportedByEngine(f"the engine has no condition '{name}'")

    return qe.FieldCondition(**parts)


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


def _match(wire: dict[str, Any]) -> Any:
    ((name, value),) = wire.items()
    if name == "value":
        # a plain bool would be taken for the integer 0 or 1
        exactly: Any = _Bool(value) if isinstance(value, bool) else value
        return qe.MatchValue(exactly)

    kinds = {
        "text": qe.MatchText,
        "text_any": qe.MatchTextAny,
        "phrase": qe.MatchPhrase,
        "prefix": qe.MatchPrefix,
        "substring": qe.MatchSubstring,
        "any": qe.MatchAny,
        "except": qe.MatchExcept,
    }
    if name not in kinds:
        raise errors.UnsupportedByEngine(f"the engine has no match '{name}'")

    return kinds[name](value)


def _geo(wire: dict[str, float]) -> Any:
    return qe.GeoPoint(wire["lon"], wire["lat"])


def _ring(wire: dict[str, Any]) -> list[Any]:
    return [_geo(p) for p in wire["points"]]


# -- what to return, and how to search ----------------------------------------


def payload_selector(wire: Any) -> Any:
    """Returns the engine's payload selector for a bool or a selector dict."""
    if isinstance(wire, dict):
        if "include" in wire:
            return qe.PayloadSelector.Include(wire["include"])

        return qe.PayloadSelector.Exclude(wire["exclude"])

    return bool(wire)


def search_params(
    wire: dict[str, Any] | None, *, filtered: bool, quantized: bool
) -> Any:
    """Returns the engine's search parameters.

    Args:
        wire: what the caller asked for
        filtered: whether the search has a filter. The graph misses most hits of
            a selective filter, so such a search is exact unless the caller
            explicitly said otherwise
        quantized: whether the collection is quantized. Then twice the hits are
            taken and ranked anew by their full vectors, unless the caller
            said otherwise
    """
    given = dict(wire or {})
    exact = given.pop("exact", None)
    parts: dict[str, Any] = {"exact": filtered if exact is None else exact}
    quantization = given.pop("quantization", None)
    if quantization is not None:
        parts["quantization"] = qe.QuantizationSearchParams(**quantization)
    elif quantized:
        parts["quantization"] = qe.QuantizationSearchParams(
            rescore=True, oversampling=2.0
        )

    if given.get("acorn") is not None:
        parts["acorn"] = qe.AcornSearchParams(**given.pop("acorn"))

    for name in ("hnsw_ef", "indexed_only"):
        if name in given:
            parts[name] = given.pop(name)

    if given:
        raise errors.UnsupportedByEngine(
            f"the embedded engine has no search parameter {', '.join(given)}"
        )

    return qe.SearchParams(**parts)


def order_by(wire: dict[str, Any]) -> Any:
    """Returns the engine's ``OrderBy``."""
    direction = {"asc": qe.Direction.Asc, "desc": qe.Direction.Desc}
    return qe.OrderBy(
        wire["key"],
        direction=direction[wire["direction"]] if wire.get("direction") else None,
        start_from=wire.get("start_from"),
    )
