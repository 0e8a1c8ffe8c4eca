"""Answers kept with their dataset, as FiftyOne runs with results.

Any process opens them again, and FiftyOne alone can read them: a run's config and
results are plain values, arrays as FiftyOne writes arrays. They belong to the dataset,
not to a view, whose stages may hold more ids than a document of MongoDB. A new answer
is written under a new key before the old one goes, so that who reads has one of them.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from importlib import import_module
from typing import Any

import fiftyone.core.utils as fou
import numpy as np

from fiftyone_qdrant.curate.freshness import Stamp, stamp_of
from fiftyone_qdrant.dataset.samples import dataset_id, root_of
from fiftyone_qdrant.errors import ConfigError

METHOD = "qdrant_curate"

_PACKAGE = "fiftyone_qdrant."
_MOST = 6  # answers that a process keeps open

_open: OrderedDict[tuple[str, str], Any] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Stored:
    """An answer that is kept, without its contents.

    Attributes:
        key: of its run
        kind: what was asked, such as ``"near_duplicates"``
        brain_key: the index that was asked
        slot: what it takes the place of, of the same kind and index
        about: how it was asked: plain values
        stamp: the state of what it depends on
        at: when it was kept, UTC
        answer: the class of the answer, without this package's name
    """

    key: str
    kind: str
    brain_key: str
    slot: str
    about: dict[str, Any]
    stamp: Stamp
    at: datetime
    answer: str


def keep(
    samples: Any,
    answer: Any,
    kind: str,
    *,
    slot: str = "",
    about: Mapping[str, Any] | None = None,
) -> Stored:
    """Keeps an answer with its dataset, in place of the one of the same slot.

    Args:
        samples: the dataset, or a view of it
        answer: a dataclass with ``brain_key``, otherwise of arrays and plain values
        kind: what was asked
        slot (""): what tells answers of one kind and index apart, such as a field
        about (None): how it was asked: plain values

    Raises:
        IndexNotFound: if its index is gone
    """
    dataset = root_of(samples)
    dataset.reload()
    old = [s for s in stored(dataset, kind, answer.brain_key) if s.slot == slot]
    values, arrays = _to_plain(answer)
    key = f"qdrant_{kind}_{uuid.uuid4().hex[:12]}"
    config = dataset.init_run(
        method=METHOD,
        kind=kind,
        brain_key=answer.brain_key,
        slot=slot,
        about=dict(about or {}),
        stamp=stamp_of(dataset, answer).to_dict(),
        answer=_name_of(type(answer)),
        arrays=arrays,
        complete=False,
    )
    dataset.register_run(key, config)
    results = dataset.init_run_results(key, **values)
    dataset.save_run_results(key, results, cache=False)
    config.complete = True
    dataset.update_run_config(key, config)
    for one in old:
        forget(dataset, one)

    (made,) = (s for s in stored(dataset, kind, answer.brain_key) if s.key == key)
    _remember(dataset, key, answer)
    return made


def stored(
    samples: Any, kind: str | None = None, brain_key: str | None = None
) -> list[Stored]:
    """Returns what is kept with a dataset, the newest first; reads no contents.

    Args:
        samples: the dataset, or a view of it; reload it to see what others kept
        kind (None): only what was asked like this
        brain_key (None): only of this index
    """
    dataset, found = root_of(samples), []
    for key in dataset.list_runs(method=METHOD):
        info = dataset.get_run_info(key)
        config = info.config
        if not config.complete or kind not in (None, config.kind):
            continue

        if brain_key in (None, config.brain_key):
            found.append(
                Stored(
                    key,
                    config.kind,
                    config.brain_key,
                    config.slot,
                    dict(config.about),
                    Stamp(**config.stamp),
                    info.timestamp,
                    config.answer,
                )
            )

    return sorted(found, key=lambda s: s.at, reverse=True)


def latest(
    samples: Any, kind: str, brain_key: str | None = None, slot: str | None = None
) -> Stored | None:
    """Returns the newest of a kind, of an index and slot if they are given."""
    found = stored(samples, kind, brain_key)
    return next((s for s in found if slot in (None, s.slot)), None)


def read(samples: Any, one: Stored) -> Any:
    """Returns an answer that is kept: from this process's memory, if it is there.

    Raises:
        ConfigError: if another process has replaced it
    """
    dataset = root_of(samples)
    place = (str(dataset_id(dataset)), one.key)
    with _lock:
        answer = _open.pop(place, None)
        if answer is not None:
            _open[place] = answer

    if answer is None:
        if not dataset.has_run(one.key):
            raise ConfigError("This result was replaced by a newer one: refresh")

        results = dataset.load_run_results(one.key, cache=False, load_view=False)
        arrays = dataset.get_run_info(one.key).config.arrays
        answer = _from_plain(one.answer, results, arrays)
        _remember(dataset, one.key, answer)

    if answer.brain_key != one.brain_key:  # the index got another name
        answer = replace(answer, brain_key=one.brain_key)

    return answer


def forget(samples: Any, one: Stored) -> None:
    """Deletes an answer that is kept."""
    dataset = root_of(samples)
    with _lock:
        _open.pop((str(dataset_id(dataset)), one.key), None)

    if dataset.has_run(one.key):
        dataset.delete_run(one.key)


def follow_rename(samples: Any, brain_key: str, new_brain_key: str) -> None:
    """Keeps the answers of an index that has another key now."""
    dataset = root_of(samples)
    for one in stored(dataset, brain_key=brain_key):
        config = dataset.get_run_info(one.key).config
        config.brain_key = new_brain_key
        dataset.update_run_config(one.key, config)


def _remember(dataset: Any, key: str, answer: Any) -> None:
    with _lock:
        _open[str(dataset_id(dataset)), key] = answer
        while len(_open) > _MOST:
            _open.popitem(last=False)


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix(_PACKAGE)


def _to_plain(answer: Any) -> tuple[dict[str, Any], list[str]]:
    values, arrays = {}, []
    for field in fields(answer):
        value = getattr(answer, field.name)
        if isinstance(value, np.ndarray):
            value = fou.serialize_numpy_array(value, ascii=True)
            arrays.append(field.name)
        elif isinstance(value, np.generic):
            value = value.item()

        values[field.name] = value

    return values, arrays


def _from_plain(name: str, results: Any, arrays: list[str]) -> Any:
    module, _, cls_name = name.rpartition(".")
    try:
        cls = getattr(import_module(_PACKAGE + module), cls_name)
        values = {field.name: getattr(results, field.name) for field in fields(cls)}
    except (AttributeError, ImportError, TypeError) as e:
        raise ConfigError(
            "This result was kept by another version of fiftyone-qdrant. Ask again"
        ) from e

    for array in arrays:
        values[array] = fou.deserialize_numpy_array(values[array], ascii=True)

    return cls(**values)
