"""Indexes the copy of a shard, in a child process of the owner.

Building an index keeps a process busy for seconds to minutes without ever releasing
the GIL, so the owner cannot do it and answer meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import qdrant_edge as qe

from fiftyone_qdrant.embedded.files import read_json, write_json
from fiftyone_qdrant.embedded.owner import settings


def main(shard_dir: str, sidecar: str) -> int:
    """Indexes a shard that nobody has open.

    Args:
        shard_dir: its directory
        sidecar: the file with the collection's settings

    Returns:
        the exit status
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    os.nice(5)
    config = read_json(sidecar)
    if config.get("quantization_config") is None:
        _forget_quantization(os.path.join(shard_dir, "edge_config.json"))

    shard = qe.EdgeShard.load(shard_dir, settings.edge_config(config, indexed=True))
    shard.optimize()
    shard.flush()
    shard.close()
    return 0


def _forget_quantization(path: str) -> None:
    # the engine takes "none given" for "as before"
    config = read_json(path)
    if config.pop("quantization_config", None) is not None:
        write_json(path, config)
