"""A harder set than clusters that lie apart: classes that overlap, of unequal sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_MODES = 3  # a class is of several clusters, as real classes are
_DIRECTIONS = 12  # in which classes differ; all others are noise


def overlapping_classes(
    rng: np.random.Generator, n: int = 6000, classes: int = 20, size: int = 64
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Returns vectors whose nearest neighbours are often of another class.

    Each class has three clusters of its own, wider or narrower, and from one to four
    shares of the vectors. They differ in twelve directions only. By 15 neighbours
    and cosine distance about four of five vectors are given their class.

    Args:
        rng: decides everything
        n: the number of vectors
        classes: the number of classes
        size: dimensions of the vectors, twelve or more

    Returns:
        float32 vectors of shape ``(n, size)``, in no order, and the int class of each
    """
    shares = rng.uniform(1, 4, classes)
    labels = rng.choice(classes, n, p=shares / shares.sum())
    labels[:classes] = np.arange(classes)  # none is without any
    rng.shuffle(labels)

    modes = rng.integers(_MODES, size=n)
    centres = rng.normal(size=(classes, 1, _DIRECTIONS))
    centres = centres + 0.6 * rng.normal(size=(classes, _MODES, _DIRECTIONS))
    spreads = rng.uniform(0.75, 1.15, (classes, _MODES))

    vectors = 0.25 * rng.normal(size=(n, size))
    noise = rng.normal(size=(n, _DIRECTIONS)) * spreads[labels, modes, np.newaxis]
    vectors[:, :_DIRECTIONS] += centres[labels, modes] + noise
    turned, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return (vectors @ turned).astype(np.float32), labels
