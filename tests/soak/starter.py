"""Opens a store for each line of its input, and says the owner's process id."""

import sys

import package  # noqa: F401

from fiftyone_qdrant.embedded.client import launcher

for line in sys.stdin:
    with launcher.connect(launcher.store_path(line.strip())):
        owner = launcher.running(line.strip())
        print(owner["pid"] if owner else "none", flush=True)
