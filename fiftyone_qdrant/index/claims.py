"""Who makes an index under a brain key: one at a time, in whatever process.

FiftyOne keeps a dataset's runs in its document, which each process has in memory: two
that make the same key would both succeed, and the later replace the earlier. So a run
gets its key by one atomic update of that document in MongoDB (:func:`register`), and
an index that is filled batch by batch is claimed while it is (:func:`claimed`). What a
dead process claimed is taken over.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import fiftyone.constants as foc
import fiftyone.core.odm as foo
import psutil
from fiftyone.core.odm.runs import RunDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from fiftyone_qdrant.dataset.samples import add_run, dataset_id, root_of, stored_stages
from fiftyone_qdrant.errors import ConfigError, IndexNotFound

_CLAIMS = "fiftyone_qdrant_claims"
_BEAT = 5.0  # seconds between two signs of life
_DEAD_AFTER = 30.0  # seconds without one, on another machine

_mine: ContextVar[frozenset[str]] = ContextVar(
    "claims of this call", default=frozenset()
)


def is_taken(dataset: Any, brain_key: str) -> bool:
    """Whether the dataset has a run of that key, in memory or only in MongoDB."""
    path = f"brain_methods.{brain_key}"
    query = {"_id": dataset_id(dataset), path: {"$exists": True}}
    return foo.get_db_conn().datasets.find_one(query, {"_id": 1}) is not None


def take_key(dataset: Any, brain_key: str, run_id: Any) -> bool:
    """Gives a key to a run unless another has it; returns whether it did."""
    path = f"brain_methods.{brain_key}"
    query = {"_id": dataset_id(dataset), path: {"$exists": False}}
    changed = foo.get_db_conn().datasets.update_one(query, {"$set": {path: run_id}})
    return bool(changed.modified_count)


def register(index: Any, brain_key: str) -> None:
    """Registers the run of a new index, as FiftyOne does, but for whom the key goes to.

    Raises:
        ConfigError: if another run has it; what was made for this one is dropped
    """
    home, dataset = index.samples, root_of(index.samples)
    run = RunDocument(
        dataset_id=dataset_id(dataset),
        key=brain_key,
        version=foc.VERSION,
        timestamp=datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None),
        config=copy.deepcopy(index.config.serialize()),
        view_stages=None if home is dataset else stored_stages(home),
        results=None,
    )
    run.save(upsert=True)
    if not take_key(dataset, brain_key, run.id):
        run.delete()
        index.contents.discard()
        raise ConfigError(_taken(dataset, brain_key))

    add_run(dataset, brain_key, run)
    index.contents.is_new = False


def check_free(dataset: Any, brain_key: str) -> None:
    """Checks that no run has a key, and that nobody else is making one.

    Raises:
        ConfigError: if that is so
    """
    claim = _claim_id(dataset, brain_key)
    found = None
    if claim not in _mine.get():
        found = _collection().find_one({"_id": claim})

    if found is not None and not _is_dead(found):
        raise ConfigError(_sentence(brain_key, found))

    if is_taken(dataset, brain_key):
        raise ConfigError(_taken(dataset, brain_key))


def gone(brain_key: str | None, collection: str) -> IndexNotFound:
    """Returns what to raise for an index whose run somebody has deleted."""
    return IndexNotFound(
        f"Index '{brain_key}' is gone: somebody deleted its run meanwhile. What it "
        f"held is in collection '{collection}', unless that is gone as well"
    )


def _taken(dataset: Any, brain_key: str) -> str:
    return (
        f"Dataset '{dataset.name}' has a brain run '{brain_key}' already. Choose "
        "another brain key, or delete that run first"
    )


@contextlib.contextmanager
def claimed(dataset: Any, brain_key: str, doing: str = "made") -> Iterator[None]:
    """Within it nobody else makes, or moves, an index under a key.

    Args:
        dataset: the dataset
        brain_key: the key
        doing ("made"): what is done to the index, for others to be told

    Raises:
        ConfigError: if somebody does already
    """
    claim = _claim_id(dataset, brain_key)
    held = _take(claim, brain_key, doing)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(held, ended), daemon=True)
    beating.start()
    token = _mine.set(_mine.get() | {claim})
    try:
        yield
    finally:
        _mine.reset(token)
        ended.set()
        _collection().delete_one({"_id": claim, "token": held["token"]})


def _take(claim: str, brain_key: str, doing: str) -> dict[str, Any]:
    mine = {
        "_id": claim,
        "doing": doing,
        "token": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "alive_at": _now(),
    }
    while True:
        with contextlib.suppress(DuplicateKeyError):
            _collection().insert_one(mine)
            return mine

        found = _collection().find_one({"_id": claim})
        if found is not None and not _is_dead(found):
            raise ConfigError(_sentence(brain_key, found))

        if found is not None:
            _collection().delete_one({"_id": claim, "token": found["token"]})


def _beat(held: dict[str, Any], ended: threading.Event) -> None:
    query = {"_id": held["_id"], "token": held["token"]}
    while not ended.wait(_BEAT):
        with contextlib.suppress(PyMongoError):  # the next one may get through
            _collection().update_one(query, {"$set": {"alive_at": _now()}})


def _is_dead(found: dict[str, Any]) -> bool:
    if found["host"] != socket.gethostname():
        return bool((_now() - found["alive_at"]).total_seconds() > _DEAD_AFTER)

    try:
        started = psutil.Process(found["pid"]).create_time()
        return abs(float(started) - float(found["started"])) > 1
    except psutil.NoSuchProcess:
        return True


def _sentence(brain_key: str, found: dict[str, Any]) -> str:
    return (
        f"Index '{brain_key}' is being {found.get('doing', 'made')} by process "
        f"{found['pid']} on {found['host']}. Wait until it is done, or choose another "
        "brain key"
    )


def _claim_id(dataset: Any, brain_key: str) -> str:
    return f"{dataset_id(dataset)}:{brain_key}"


def _collection() -> Any:
    return foo.get_db_conn()[_CLAIMS]


def _now() -> datetime.datetime:
    """Returns MongoDB's time, the same for all machines."""
    told: datetime.datetime = foo.get_db_conn().command("hello")["localTime"]
    return told.replace(tzinfo=None)
