"""Near-duplicates planted among pictures, and how many of them are found.

``python -m benchmarks.planted`` prints precision and recall for each way of copying and
each threshold, on scikit-learn's digits, embedded as 16 x 16 grey values. What a
threshold finds depends on the embedding; that all pairs within it are found does not.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

SIZE = 96
THRESHOLDS = (0.0001, 0.001, 0.003, 0.01, 0.03)
_SIDE = 16


def pictures(count: int) -> list[Image.Image]:
    """Returns the first digits, enlarged."""
    from sklearn.datasets import load_digits

    grey = (load_digits().images[:count] * 15.9).astype(np.uint8)
    return [
        Image.fromarray(g).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for g in grey
    ]


def _jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file)


def _crop(picture: Image.Image) -> Image.Image:
    off = round(SIZE * 0.05)
    return picture.crop((off, off, SIZE - off, SIZE - off))


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "exact copy": lambda p: p.copy(),
    "JPEG quality 30": _jpeg,
    "resized to half": lambda p: p.resize((SIZE // 2, SIZE // 2)),
    "crop of 90 %": _crop,
    "brightness + 20 %": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
}
"""How a picture is copied."""


def embed(picture: Image.Image) -> np.ndarray:
    """Returns the grey values of a picture in few pixels, float32."""
    small = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel()


def plant(count: int, each: int) -> tuple[np.ndarray, dict[str, list[tuple[int, int]]]]:
    """Returns vectors of pictures and of copies, and the pairs of each kind of copy.

    Args:
        count: how many pictures there are
        each: how many are copied in each way, the first ones
    """
    originals = pictures(count)
    vectors = [embed(p) for p in originals]
    pairs: dict[str, list[tuple[int, int]]] = {}
    for kind, copy in KINDS.items():
        pairs[kind] = [(n, len(vectors) + n) for n in range(each)]
        vectors.extend(embed(copy(p)) for p in originals[:each])

    return np.stack(vectors), pairs


def main() -> None:
    """Prints the table."""
    from fiftyone_qdrant.index.all_pairs import AllPairs

    count, each = 1_000, 100
    vectors, pairs = plant(count, each)
    found: dict[tuple[int, int], float] = {}

    class Here:
        def vectors(self, ids: list[int]) -> np.ndarray:
            return vectors[ids]

    def take(i: np.ndarray, j: np.ndarray, far: np.ndarray) -> None:
        pairs = np.sort(np.stack([i, j], axis=1), axis=1).tolist()
        found.update(zip(map(tuple, pairs), far.tolist(), strict=True))

    rows = range(len(vectors))
    AllPairs(Here(), rows, vectors.shape[1], "cosine").scan(max(THRESHOLDS), take)
    origin = [*range(count), *[n for some in pairs.values() for n, _ in some]]
    right = {p for p in found if origin[p[0]] == origin[p[1]]}
    print("| threshold | precision |", " | ".join(KINDS), "|")
    print("|---" * (2 + len(KINDS)) + "|")
    for threshold in THRESHOLDS:
        within = {p for p, far in found.items() if far <= threshold}
        precision = len(within & right) / max(1, len(within))
        recalls = [len(within & set(some)) / each for some in pairs.values()]
        cells = " | ".join(f"{r:.2f}" for r in recalls)
        print(f"| {threshold} | {precision:.3f} | {cells} |")


if __name__ == "__main__":
    main()
