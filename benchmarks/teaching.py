"""How fast a ranking is taught: a simulated user likes and dislikes for five rounds.

``python -m benchmarks.teaching`` prints a table: the average precision with which each
way ranks a whole set for one class, after each round, over some classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests import isolation

if __name__ == "__main__":
    WORLD = isolation.start()  # before FiftyOne is imported

import numpy as np

ROUNDS = 5
SHOWN = 20  # that a user looks through in a round
USERS = 10


def by_teaching(index: Any, wanted: dict[str, bool], first: str) -> Iterator[list[str]]:
    """Yields the ranking before, and after each round of, likes and dislikes.

    Half of what a user looks through are the best, half the unsure ones. What is no
    candidate follows in the order of its distance to the mean of the likes.
    """
    from fiftyone_qdrant.explore.teaching import Teaching

    teaching = Teaching(index)
    teaching.mark(likes=[first])
    for _ in range(ROUNDS):
        ranked = teaching.ranking(2000)
        yield _to_the_end(index, teaching, ranked.ids)
        new = ranked.without({*teaching.likes, *teaching.dislikes}).ids[: SHOWN // 2]
        unsure = [i for i in teaching.unsure(SHOWN).ids if i not in new]
        new += unsure[: SHOWN // 2]
        teaching.mark(
            likes=[i for i in new if wanted[i]],
            dislikes=[i for i in new if not wanted[i]],
        )

    yield _to_the_end(index, teaching, teaching.ranking(2000).ids)


def _to_the_end(index: Any, teaching: Any, ranked: list[str]) -> list[str]:
    known = set(ranked)
    rest = index.search(teaching.likes, k=None)[0].ids
    return [*ranked, *(i for i in rest if i not in known)]


def by_averaging(
    index: Any, wanted: dict[str, bool], first: str
) -> Iterator[list[str]]:
    """Yields the same of a query with the mean of what is liked."""
    likes, seen = [first], {first}
    for _ in range(ROUNDS):
        ranked = index.search(likes, k=None)[0].ids
        yield ranked
        new = [i for i in ranked if i not in seen][:SHOWN]
        seen.update(new)
        likes += [i for i in new if wanted[i]]

    yield index.search(likes, k=None)[0].ids


def by_recommending(
    index: Any, wanted: dict[str, bool], first: str
) -> Iterator[list[str]]:
    """Yields the same of a query with the likes, and the dislikes as negatives."""
    likes: list[str] = [first]
    unlike: list[str] = []
    for _ in range(ROUNDS + 1):
        ranked = index.search(likes, k=None, negatives=unlike or None)[0].ids
        ranked = [*(i for i in likes if i not in ranked), *ranked]  # are no hits
        yield ranked
        seen = {*likes, *unlike}
        new = [i for i in ranked if i not in seen][:SHOWN]
        likes += [i for i in new if wanted[i]]
        unlike += [i for i in new if not wanted[i]]


def average_precision(ranked: list[str], wanted: dict[str, bool]) -> float:
    """Returns the average precision of a ranking; what is not in it is not found."""
    hit = np.array([wanted[i] for i in ranked])
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float(precision[hit].sum() / sum(wanted.values()))


def main() -> None:
    """Prints the table."""
    from benchmarks.labelling import digits, indexed, overlapping
    from fiftyone_qdrant import load_index

    ways = {
        "likes and dislikes, taught": by_teaching,
        "mean of likes": by_averaging,
        "likes and negatives": by_recommending,
    }
    heads = "".join(f" {n} |" for n in range(ROUNDS + 1))
    print(f"| set | ranked by |{heads}\n|---|---|{'---|' * (ROUNDS + 1)}")
    for name, (vectors, labels) in {
        "digits": digits(),
        "20 overlapping classes": overlapping(),
    }.items():
        index = load_index(indexed(vectors, labels), "index")
        ids = np.array(index.samples.values("id"))
        for way, how in ways.items():
            rng = np.random.default_rng(51)
            rows = []
            for _ in range(USERS):
                label = rng.choice(np.unique(labels))
                wanted = dict(zip(ids, (labels == label).tolist(), strict=True))
                first = str(rng.choice(ids[labels == label]))
                found = how(index, wanted, first)
                rows.append([average_precision(r, wanted) for r in found])

            means = "".join(f" {x:.3f} |" for x in np.mean(rows, axis=0))
            print(f"| {name} | {way} |{means}", flush=True)


if __name__ == "__main__":
    main()
