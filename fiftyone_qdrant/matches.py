"""The answer to one query: ids, distances and scores, and the view that shows them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.core.patches as fop
import numpy as np

from fiftyone_qdrant.dataset.samples import dataset_of, label_path, labels_by_sample
from fiftyone_qdrant.dataset.scope import mark
from fiftyone_qdrant.errors import ConfigError, MissingIDs, VectorError
from fiftyone_qdrant.search.fusion import fuse
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.matrices import to_matrix
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_FUSED_PER_HIT, _FUSED_AT_LEAST = 4, 100  # hits of each index that are fused


@dataclass(frozen=True)
class Matches:
    """Matches of one query, best first; all lists have one entry per match.

    What a single id stands for comes before all others, even if these have a larger dot
    product.

    Attributes:
        ids: sample ids, or label ids of an index of patches
        sample_ids: the sample of each match
        distances: smaller is nearer, for every metric
        scores: as Qdrant gives them: larger is nearer for cosine and dot product, and
            farther for least similar queries
        patches: whether the matches are labels
        view: the matches as an ordered view, of patches if they are labels
        shown: the distance of each sample, or patch, of the view, by its id
    """

    ids: list[str]
    sample_ids: list[str]
    distances: list[float]
    scores: list[float]
    patches: bool
    view: Any
    shown: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the view, as plain JSON."""
        answer: dict[str, Any] = {
            "ids": self.ids,
            "sample_ids": self.sample_ids,
            "distances": self.distances,
            "scores": self.scores,
        }
        if self.patches:
            answer["label_ids"] = self.ids

        return answer


def find_similar(
    index: QdrantSimilarityIndex | Sequence[QdrantSimilarityIndex],
    query: Any = None,
    k: int | None = None,
    reverse: bool = False,
    dist_field: str | None = None,
    *,
    overwrite: bool = False,
    image: Any = None,
    negatives: Any = None,
    max_distance: float | None = None,
    diversity: float | None = None,
    exact: bool = False,
    hnsw_ef: int | None = None,
    weights: Sequence[float] | None = None,
) -> Matches:
    """Finds the nearest points to a query within the index's current view.

    Several indexes, as of a model of texts and images and a finer one of images, are
    asked each by its own vectors, and their rankings fused, see
    :func:`fiftyone_qdrant.search.fusion.fuse`: of each the best ``4 k`` hits, 100 at
    least, count. The view is that of the first.

    Args:
        index: the index, or several that hold the same: samples, or patches of the
            same field
        query (None): an id or ids, a vector or vectors, or text prompts; several are
            averaged
        k (None): the number of matches, or ``None`` for all
        reverse (False): find the farthest, farthest first
        dist_field (None): a field of the samples, or of the labels, to store the
            distances in, in place of those of the query before
        overwrite (False): whether that may be a float field that has other values,
            which are lost
        image (None): see :meth:`fiftyone_qdrant.answering.Answering.answer`, as
            for the arguments that follow
        negatives (None): what matches should be unlike: ids, vectors or text prompts
        max_distance (None): the largest distance of a match
        diversity (None): from 0 to 1: how different matches should be
        exact (False): compare with every point
        hnsw_ef (None): how many candidates to keep while searching the graph
        weights (None): of several indexes, how much the ranking of each counts

    Raises:
        ConfigError, MissingIDs, VectorError, CollectionNotFound: as
            :meth:`fiftyone_qdrant.answering.Answering.answer`; ConfigError also if
            ``dist_field`` cannot be, or may not be, written
    """
    indexes = [index] if isinstance(index, QdrantSimilarityIndex) else list(index)
    options: dict[str, Any] = {
        "reverse": reverse,
        "image": image,
        "negatives": negatives,
        "max_distance": max_distance,
        "diversity": diversity,
        "exact": exact,
        "hnsw_ef": hnsw_ef,
    }
    if len(indexes) != 1:
        check_fusible(indexes, query, weights, max_distance, diversity)

    index = indexes[0]
    field = None if dist_field is None else index.distance_field(dist_field)
    if field is not None:
        field.check(overwrite)

    if len(indexes) == 1:
        (hits,) = index.search(query, k=k, **options)
    else:
        hits = _fused(indexes, query, k, weights, options)

    if field is not None:
        field.store(hits.by_id())

    return matches_of(index, hits)


def check_fusible(
    indexes: Sequence[QdrantSimilarityIndex],
    query: Any,
    weights: Sequence[float] | None,
    max_distance: float | None = None,
    diversity: float | None = None,
) -> None:
    """Checks that several indexes can be asked one question.

    Raises:
        ConfigError: if not
    """
    if not indexes:
        raise ConfigError("Give an index to search")

    kinds = {index.config.patches_field for index in indexes}
    if len(kinds) > 1:
        named = ", ".join(f"'{i.key}' holds {i.held}" for i in indexes)
        raise ConfigError(
            f"Only indexes of the same things can be asked at once: {named}"
        )

    if weights is not None and (
        len(weights) != len(indexes) or not all(0 < w < math.inf for w in weights)
    ):
        raise ConfigError(f"Give {len(indexes)} weights of more than 0, one per index")

    if max_distance is not None or diversity is not None:
        raise ConfigError(
            "Distances of several indexes cannot be compared: leave out max_distance "
            "and diversity"
        )

    if query is not None and np.asarray(query).dtype.kind in "biuf":
        raise ConfigError(
            "A vector is of one index: ask several with ids, texts or an image"
        )


def _fused(
    indexes: list[QdrantSimilarityIndex],
    query: Any,
    k: int | None,
    weights: Sequence[float] | None,
    options: dict[str, Any],
) -> Hits:
    first, *others = indexes
    deep = None if k is None else max(_FUSED_AT_LEAST, _FUSED_PER_HIT * k)
    answers = list(first.search(query, k=deep, **options))
    for other in others:
        with other.use_view(first.view):
            answers += other.search(query, k=deep, **options)

    return fuse(answers, list(weights or [1.0] * len(indexes)), k)


def matches_of(index: QdrantSimilarityIndex, hits: Hits) -> Matches:
    """Returns hits with the view that shows them; Qdrant is not asked."""
    view, shown = _view(index, hits)
    return Matches(
        ids=hits.ids,
        sample_ids=hits.sample_ids or hits.ids,
        distances=hits.distances.tolist(),
        scores=hits.scores.tolist(),
        patches=index.config.patches_field is not None,
        view=mark(view, index.view),
        shown=_nearest(shown, hits.distances.tolist()),
    )


def ids_of_selection(
    index: QdrantSimilarityIndex,
    sample_ids: list[str] | None = None,
    label_ids: list[str] | None = None,
) -> list[str]:
    """Returns the ids to query an index with: of patches, those of the samples too.

    Raises:
        MissingIDs: if the index has no patches of the samples
    """
    if label_ids is not None:
        return label_ids

    if index.config.patches_field is None:
        return list(sample_ids or ())

    labels = index.contents.of_samples(sample_ids or [])[0]
    if not labels:
        raise MissingIDs("The index holds no patches of the selected samples")

    return labels


def missing_ids(index: QdrantSimilarityIndex, ids: list[str]) -> list[str]:
    """Returns those of some ids that an index does not hold, so cannot be asked with.

    Raises:
        MissingIDs: if some cannot be ids
    """
    present = index.collection.present(ids)
    return [i for i in dict.fromkeys(ids) if i not in present]


def check_ids(index: QdrantSimilarityIndex, ids: list[str]) -> None:
    """Makes sure that an index can be asked with ids.

    Raises:
        MissingIDs: if it does not hold all of them; says which
    """
    missing = missing_ids(index, ids)
    if missing:
        which = (
            f"'{missing[0]}' is" if len(missing) == 1 else f"{len(missing):,} ids are"
        )
        such = "" if len(missing) == 1 else f", such as '{missing[0]}'"
        raise MissingIDs(
            f"{which} not in index '{index.key}'{such}: add them to it first, or "
            "choose others"
        )


def tags(index: QdrantSimilarityIndex) -> list[str]:
    """Returns the tags of the samples, or of the labels of an index of patches."""
    found: list[str] = dataset_of(index.samples).distinct(_tags_path(index))
    return found


def ids_with_tag(index: QdrantSimilarityIndex, tag: str) -> list[str]:
    """Returns the ids in an index of the samples, or labels, that have a tag.

    Raises:
        MissingIDs: if the index holds none
    """
    dataset, field = dataset_of(index.samples), index.config.patches_field
    if field is None:
        tagged = dataset.match_tags(tag).values("id")
    else:
        path = label_path(dataset, field, "id")
        labelled = dataset.select_labels(tags=tag, fields=field)
        tagged = labelled.values(path, unwind=True)

    present = index.collection.present(tagged)
    if not present:
        raise MissingIDs(f"The index holds nothing that has the tag '{tag}'")

    return [i for i in tagged if i in present]


def parse_vector(index: QdrantSimilarityIndex, text: str) -> list[float]:
    """Returns a vector that was written as text, for a query.

    Args:
        index: the index
        text: as many numbers as its vectors have, with commas, semicolons or spaces
            between them; brackets around them do not matter

    Raises:
        VectorError: if it is none
    """
    if not isinstance(text, str):
        raise VectorError(f"A vector is written as text, not as {text!r}")

    numbers = []
    for word in re.split(r"[\s,;\[\]()]+", text):
        try:
            numbers.extend([float(word)] if word else [])
        except ValueError as e:
            raise VectorError(f"'{word[:40]}' is not a number") from e

    if not numbers:
        raise VectorError("Give the numbers of a vector")

    (vector,) = to_matrix(numbers, index.collection.schema().size).tolist()
    return list(vector)


def _tags_path(index: QdrantSimilarityIndex) -> str:
    field = index.config.patches_field
    if field is None:
        return "tags"

    return label_path(dataset_of(index.samples), field, "tags")


def _view(index: QdrantSimilarityIndex, hits: Hits) -> tuple[Any, list[str]]:
    """Returns a view of hits, and the id of what it shows of each."""
    held, field = index.held, index.config.patches_field
    samples, ids = index.restriction().samples, hits.ids
    if field is None and held.in_parts(samples):  # parts of samples that were found
        samples = held.flat(held.home)
    elif field is not None and held.in_parts(samples):
        if not _is_of_patches(samples, field):  # those that show what was found
            ids = _holders(samples, field, hits)
    elif field is not None:
        if held.in_lists(samples):
            samples = samples.to_patches(field)
        else:
            ids = hits.sample_ids or hits.ids

    return samples.select(list(dict.fromkeys(ids)), ordered=True), ids


def _is_of_patches(samples: Any, field: str) -> bool:
    return isinstance(samples, fop.PatchesView) and samples.patches_field == field


def _nearest(ids: list[str], distances: list[float]) -> dict[str, float]:
    """Returns the best distance of each id, in the order of the first of each."""
    nearest: dict[str, float] = {}
    for i, distance in zip(ids, distances, strict=True):
        nearest.setdefault(i, distance)

    return nearest


def _holders(samples: Any, field: str, hits: Hits) -> list[str]:
    """Returns the ids of the patches or clips that labels are in, one for each."""
    rows = labels_by_sample(samples, field)
    holder = {label: shown for shown, labels in rows for label in labels}
    return [holder[i] for i in hits.ids]
