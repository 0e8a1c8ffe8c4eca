"""Starts the owner process of a store, or its helper that builds an index.

Run by file path, never imported.

The real ``__init__`` of the package imports FiftyOne, which takes seconds and
hundreds of megabytes that the owner has no use for. A stand-in package with the
same name and folder lets the owner import its own modules and nothing else, in
the same way whether the package was installed or lies in a plugin folder.
"""

from __future__ import annotations

import os
import sys
import types

_PACKAGE = "fiftyone_qdrant"


def _stand_in(extra_paths: list[str]) -> None:
    """Puts the stand-in package where imports find it.

    Args:
        extra_paths: where to look for packages after everywhere else
    """
    here = os.path.dirname(os.path.abspath(__file__))
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [os.path.dirname(os.path.dirname(here))]
    sys.modules[_PACKAGE] = package
    sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) != here]
    sys.path.extend(p for p in extra_paths if p not in sys.path)


def _serve(store: str, ready_fd: int) -> int:
    from fiftyone_qdrant.embedded.owner import process

    return process.main(store, ready_fd)


def _build(shard_dir: str, sidecar: str) -> int:
    from fiftyone_qdrant.embedded.owner import building

    return building.main(shard_dir, sidecar)


def _main(what: str, where: str, argument: str, extra_paths: list[str]) -> int:
    if what == "serve" and os.fork() > 0:
        os._exit(0)  # the owner belongs to init: its starter never has to reap it

    _stand_in(extra_paths)
    if what == "serve":
        return _serve(where, int(argument))

    return _build(where, argument)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
