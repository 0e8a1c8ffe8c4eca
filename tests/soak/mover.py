"""Moves an index, and kills itself at a certain step; says ``moved`` if it came so far.

    mover.py DATASET PATH STEP

A step is a call to Qdrant, or the moment before or after a run is saved.
"""

import os
import signal
import sys

import fiftyone as fo

from fiftyone_qdrant.moving.move import move_index
from fiftyone_qdrant.qdrant.calls import CollectionCalls
from fiftyone_qdrant.similarity import QdrantSimilarityIndex


def main(name, path, last):
    steps = iter(range(int(last)))

    def step():
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(method):
        def call(*args, **kwargs):
            step()
            result = method(*args, **kwargs)
            step()
            return result

        return call

    CollectionCalls.call = counted(CollectionCalls.call)
    QdrantSimilarityIndex.save_config = counted(QdrantSimilarityIndex.save_config)
    move_index(fo.load_dataset(name), "index", path=path)
    print("moved", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
