"""The nearest others of every point, as products of matrices bring them along."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.points import Scores

_COMING = 2  # candidates of each point, on average, that wait to be put in order
_FEWEST = 100_000

Rows = npt.NDArray[np.int64]


class Nearest:
    """The ``k`` nearest so far of each of ``n`` points.

    Args:
        count: how many points there are
        k: how many others of each are wanted

    Attributes:
        rows: int32, shape ``(n, k)``: which they are, in order, and -1
        far: float64, shape ``(n, k)``: how far they are; infinite for -1
    """

    def __init__(self, count: int, k: int) -> None:
        self.rows = np.full((count, k), -1, np.int32)
        self.far = np.full((count, k), np.inf)
        self._coming: list[tuple[Any, Any, Any]] = []
        self._waiting = 0

    @property
    def limits(self) -> Scores:
        """How far the last one of each is: what is farther need not be added."""
        return self.far[:, -1]

    def add(self, lines: Any, rows: Any, far: Any) -> None:
        """Takes others of some points, each once.

        Args:
            lines: whose they are, shape ``(num_pairs,)``
            rows: which they are
            far: how far they are
        """
        if len(lines):
            self._coming.append((lines, rows, far))
            self._waiting += len(lines)
            if self._waiting > max(_FEWEST, _COMING * len(self.rows)):
                self.settle()

    def settle(self) -> None:
        """Puts in order what was added."""
        if not self._coming:
            return

        coming, self._coming, self._waiting = self._coming, [], 0
        lines, rows, far = (np.concatenate(c) for c in zip(*coming, strict=True))
        near = far <= self.limits[lines]
        lines, rows, far = lines[near], rows[near], far[near]
        touched, k = np.unique(lines), self.rows.shape[1]
        lines = np.append(np.repeat(touched, k), lines)
        rows = np.append(self.rows[touched].ravel(), rows)
        far = np.append(self.far[touched].ravel(), far)
        order = np.lexsort((far, lines))
        first = np.searchsorted(lines[order], touched)
        chosen = order[first[:, np.newaxis] + np.arange(k)]
        self.rows[touched], self.far[touched] = rows[chosen], far[chosen]
