"""The data of a benchmark: clustered vectors, a dataset, and the true neighbors.

``python -m benchmarks.data NAME FOLDER POINTS SIZE`` makes them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

SEED = 51
CENTRES = 500
SIGMA = 0.6
QUERIES = 40
K = 25
FETCHED = 10_000

VIEWS = ("whole", "half", "tenth", "one percent", "indexed", "picked")
"""What queries are made in.

The dataset, samples that match a field (half of them, 10 %, 1 %, and 1 % by a field
that has an index in MongoDB), and 1 % by their ids.
"""


def make_vectors(num_points: int, size: int) -> np.ndarray:
    """Returns float32 vectors around 500 Gaussian centres."""
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(CENTRES, size)).astype(np.float32)
    vectors = rng.normal(scale=SIGMA, size=(num_points, size)).astype(np.float32)
    vectors += centres[rng.integers(CENTRES, size=num_points)]
    return vectors


def make_dataset(name: str, num_samples: int, image: Path) -> Any:
    """Returns a dataset of one image whose samples have one of 100 buckets."""
    import fiftyone as fo
    from PIL import Image

    Image.new("RGB", (64, 64), "teal").save(image)

    buckets = np.random.default_rng(SEED + 1).integers(100, size=num_samples)
    dataset = fo.Dataset(name, persistent=True)
    dataset.add_sample_field("bucket", fo.IntField)
    dataset.add_sample_field("shelf", fo.IntField)
    dataset.add_samples(
        (fo.Sample(str(image), bucket=b, shelf=b) for b in buckets.tolist()),
        validate=False,
        num_samples=num_samples,
    )
    dataset.create_index("shelf")
    return dataset


def views(dataset: Any, picked: list[str]) -> dict[str, Any]:
    """Returns the view of each of :data:`VIEWS`, the last one of the given ids."""
    from fiftyone import ViewField as F

    return {
        "whole": dataset,
        "half": dataset.match(F("bucket") < 50),
        "tenth": dataset.match(F("bucket") < 10),
        "one percent": dataset.match(F("bucket") == 7),
        "indexed": dataset.match(F("shelf") == 7),
        "picked": dataset.select(picked),
    }


def queries(num_samples: int) -> np.ndarray:
    """Returns the rows of the samples to query with."""
    rng = np.random.default_rng(SEED + 3)
    return rng.choice(num_samples, QUERIES, replace=False)


def prepare(folder: Path, name: str, num_samples: int, size: int) -> None:
    """Makes the vectors, the dataset and the true answers of its queries."""
    vectors = make_vectors(num_samples, size)
    np.save(folder / "vectors.npy", vectors)
    dataset = make_dataset(name, num_samples, folder / "image.png")
    ids = np.array(dataset.values("id"))
    normed = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = queries(num_samples)
    similarities = normed[asked] @ normed.T
    rows = np.random.default_rng(SEED + 2).choice(
        num_samples, num_samples // 100, False
    )
    picked = ids[np.sort(rows)]
    truth = {}
    for view_name, view in views(dataset, picked.tolist()).items():
        rows = np.flatnonzero(np.isin(ids, view.values("id")))
        best = np.argsort(-similarities[:, rows], axis=1)[:, :K]
        truth[view_name] = ids[rows[best]]

    given = {"asked": ids[asked], "some": ids[:FETCHED], "picked ids": picked}
    np.savez(folder / "truth.npz", **given, **truth)


if __name__ == "__main__":
    prepare(Path(sys.argv[2]), sys.argv[1], int(sys.argv[3]), int(sys.argv[4]))
    print("{}")
