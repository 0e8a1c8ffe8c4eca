"""Starts the owner process of a store; run by file path, never imported.

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


def _main(store: str, ready_fd: int, extra_paths: list[str]) -> None:
    if os.fork() > 0:
        os._exit(0)  # the owner belongs to init: its starter never has to reap it

    here = os.path.dirname(os.path.abspath(__file__))
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [os.path.dirname(here)]
    sys.modules[_PACKAGE] = package
    sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) != here]
    sys.path.extend(p for p in extra_paths if p not in sys.path)

    from fiftyone_qdrant.embedded import owner

    sys.exit(owner.main(store, ready_fd))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
