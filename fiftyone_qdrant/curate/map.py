"""The 2-D map of FiftyOne's Embeddings panel, made from what an index holds."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np

from fiftyone_qdrant.curate.label_field import parts
from fiftyone_qdrant.curate.vectors import Progress, Vectors, vectors_of
from fiftyone_qdrant.dataset.samples import dataset_of, label_path, root_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.runs import load_index

FITTED = 3_000
"""How many points are laid out; of more, the others are put among these.

To lay out 3,000 of 512 dimensions takes scikit-learn's t-SNE some twenty seconds on two
cores, and twice as many more than twice as long.
"""

_NEAREST = 5  # points laid out, among which another one is put
_PERPLEXITY = 30.0


def make_map(
    samples: Any,
    brain_key: str,
    *,
    anew: bool = False,
    seed: int = 0,
    progress: Progress = None,
) -> str:
    """Makes the map of an index, unless there is one of all that it holds.

    The vectors are read once. Points are laid out by UMAP if the package
    ``umap-learn`` is installed, else by scikit-learn's t-SNE. Of more than
    :data:`FITTED` points a sample is laid out, and each other one is put between the
    five of these that are nearest to it.

    Args:
        samples: the dataset, or a view of it: the map is of the whole index
        brain_key: the index
        anew (False): make it also if there is one
        seed (0): decides which sample is laid out, and how
        progress (None): see :data:`.vectors.Progress`

    Returns:
        the key of the visualization run, which the Embeddings panel lists

    Raises:
        IndexNotFound, CollectionNotFound: if there is no such index
        ConfigError: if the key of the map is that of another run
        MissingIDs: if the index is empty
    """
    dataset = root_of(samples)
    index = load_index(dataset, brain_key)
    key = f"{brain_key}_map"
    if dataset.has_brain_run(key) and _is_map(dataset, key, brain_key) and not anew:
        results = dataset.load_brain_results(key)
        ids = "label_ids" if index.contents.patches else "sample_ids"
        held = getattr(results, ids, None)  # there may be none yet
        if held is not None and set(held) == index.contents.point_ids():
            return key

    with vectors_of(index, progress) as vectors:
        points = _laid_out(vectors, np.random.default_rng(seed), progress)
        placed = dict(zip(vectors.ids, points, strict=True))

    if dataset.has_brain_run(key):
        dataset.delete_brain_run(key)

    fob.compute_visualization(
        index.held.flat(index.samples),
        patches_field=index.config.patches_field,
        points=placed,
        similarity_index=brain_key,
        brain_key=key,
    )
    return key


def color_map(
    samples: Any, brain_key: str, values: Mapping[str, float | str], name: str
) -> str:
    """Writes values to color a map by into a field of its own, in place of the last.

    The Embeddings panel keeps the colors of a field that it has shown, so that each
    result needs a field with a new name.

    Args:
        samples: the dataset, or a view of it
        brain_key: the index whose ids these are
        values: numbers or text by sample id, or by label id of patches
        name: what the name of the field begins with

    Returns:
        the path of the field, to color by

    Raises:
        IndexNotFound: if there is no such index
        ConfigError: if the name is none of a field
    """
    if not name.isidentifier():
        raise ConfigError(f"'{name}' is not a name that a field can have")

    index = load_index(root_of(samples), brain_key)
    held = index.held
    home, patches = held.home, held.patches_field
    prefix = "" if patches is None else label_path(home, patches) + "."
    before = [
        path
        for path in home.get_field_schema(flat=True)
        if path.removeprefix(f"{prefix}{name}_").isdecimal()
    ]
    last = max((int(path.rsplit("_", 1)[1]) for path in before), default=0)
    path = f"{prefix}{name}_{last + 1}"
    of_text = any(isinstance(value, str) for value in values.values())
    kind = fo.StringField if of_text else fo.FloatField
    dataset_of(home).add_sample_field(path, kind)
    for view, ids in parts(held, list(values)):
        chosen = {i: values[i] if of_text else float(values[i]) for i in ids}
        if patches is None:
            view.set_values(path, chosen, key_field="id")
        else:
            view.set_label_values(path, chosen)

    for old in before:
        dataset_of(home).delete_sample_field(old)

    return path


def _is_map(dataset: Any, key: str, brain_key: str) -> bool:
    config = dataset.get_brain_info(key).config
    if getattr(config, "similarity_index", None) == brain_key:
        return True

    raise ConfigError(
        f"'{key}' is the key of another run. Rename that, as the map of index "
        f"'{brain_key}' has this key"
    )


def _laid_out(vectors: Vectors, rng: np.random.Generator, progress: Progress) -> Matrix:
    """Returns the place of each vector, float32, shape ``(len(vectors), 2)``."""
    count = min(len(vectors), FITTED)
    chosen = np.sort(rng.choice(len(vectors), count, replace=False))
    laid = np.asarray(vectors.rows[chosen])
    points = _fitted(laid, vectors.space.metric, int(rng.integers(2**31)))
    if count == len(vectors):
        return points

    placed = np.empty((len(vectors), 2), np.float32)
    for first, block in vectors.blocks():
        d = vectors.space.distances(block, laid)
        near = np.argpartition(d, _NEAREST, axis=1)[:, :_NEAREST]
        far = np.take_along_axis(d, near, axis=1).astype(np.float64)
        weights = 1.0 / (far + 1e-6 * (far.max() or 1.0))
        weights /= weights.sum(axis=1, keepdims=True)
        put = np.einsum("ij,ijk->ik", weights, points[near])
        placed[first : first + len(block)] = put
        if progress is not None:
            progress(first + len(block), len(vectors))

    placed[chosen] = points
    return placed


def _fitted(vectors: Matrix, metric: str, seed: int) -> Matrix:
    if len(vectors) < 5:  # too few to have a shape
        return np.eye(len(vectors), 2, dtype=np.float32)

    if importlib.util.find_spec("umap") is not None:
        import umap

        neighbors = min(15, len(vectors) - 1)
        layout = umap.UMAP(n_neighbors=neighbors, metric=metric, random_state=seed)
    else:
        from sklearn.manifold import TSNE

        perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
        layout = TSNE(
            perplexity=perplexity, init="pca", metric=metric, random_state=seed
        )

    return np.asarray(layout.fit_transform(vectors), np.float32)
