"""What a user gives as vectors, checked, as one float32 matrix."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from fiftyone_qdrant.errors import VectorError
from fiftyone_qdrant.points import Matrix

Name = Callable[[int], str]

_REAL = "biuf"  # kinds of dtype
_NAMED = 3  # bad vectors that an error lists


def to_matrix(
    embeddings: Any, size: int | None = None, name: Name | None = None
) -> Matrix:
    """Returns embeddings as a matrix that any metric can work with.

    Args:
        embeddings: numbers of any dtype, shape ``(num_points, size)``, or one
            vector of shape ``(size,)``; lists are fine
        size (None): the vector size that is expected, if known
        name (None): returns what errors call a vector that was to be written, by its
            row; without it they are those of a query

    Returns:
        float32, shape ``(num_points, size)``

    Raises:
        VectorError: if the shape is wrong, or a value is no number, NaN, infinite, or
            more or less than float32 can hold
    """
    source = _to_numbers(embeddings, size, name)
    with np.errstate(over="ignore", under="ignore"):  # told below
        matrix: Matrix = source.astype(np.float32, copy=False)

    if matrix.ndim == 1:
        source, matrix = source[np.newaxis, :], matrix[np.newaxis, :]

    if matrix.ndim != 2 or (matrix.shape[0] and not matrix.shape[1]):
        raise VectorError(
            f"Embeddings must have shape (num_points, size), not {source.shape}"
        )

    if size is not None and len(matrix) and matrix.shape[1] != size:
        raise VectorError(
            f"The vectors have {matrix.shape[1]} dimensions but the index has {size}"
        )

    bad = ~np.isfinite(matrix).all(axis=1)
    large = bad & np.isfinite(source).all(axis=1)
    _refuse(bad & ~large, "NaN or infinite values", name)
    _refuse(large, "values larger than float32 can hold (3.4e38)", name)
    if source.dtype.kind == "f" and source.dtype.itemsize > 4:
        lost = np.abs(matrix).max(axis=1, initial=0) < np.finfo(np.float32).tiny
        lost[lost] = source[lost].any(axis=1)
        _refuse(lost, "only values smaller than float32 can hold (1.2e-38)", name)

    return np.ascontiguousarray(matrix)


def _to_numbers(embeddings: Any, size: int | None, name: Name | None) -> Any:
    """Embeddings as one array of real numbers."""
    if np.ma.is_masked(embeddings):  # else the values below the mask would count
        embeddings = embeddings.astype(np.float64).filled(np.nan)

    try:
        array = np.asarray(embeddings)
    except ValueError:  # of several sizes
        array = np.empty(0, dtype=object)

    if array.ndim == 0:
        raise VectorError(
            "Embeddings must have shape (num_points, size), as a list or an array has; "
            f"not {type(embeddings).__name__}"
        )

    if array.dtype.kind in _REAL:
        return array

    if array.dtype.kind != "O":
        raise VectorError(f"Embeddings must be real numbers, not {array.dtype}")

    rows = [_to_row(row) for row in embeddings]
    _refuse([r is None for r in rows], "something else than real numbers", name)
    sizes = [len(r) for r in rows if r is not None]
    usual = size or max(set(sizes), key=sizes.count)
    words = f"another size than {usual}, which vectors of one index share"
    _refuse([n != usual for n in sizes], words, name)
    return np.stack([r for r in rows if r is not None])


def _to_row(value: Any) -> Any:
    """One vector as an array of real numbers, or ``None``."""
    try:
        row = np.asarray(value)
    except ValueError:
        return None

    if row.dtype.kind == "O" and all(isinstance(v, (Real, Decimal)) for v in row.flat):
        row = row.astype(np.float64)

    return row if row.dtype.kind in _REAL and row.ndim == 1 else None


def _refuse(bad: Any, what: str, name: Name | None) -> None:
    """Raises a :class:`VectorError` that names the bad vectors, if there are any."""
    rows = np.flatnonzero(bad)
    if not rows.size:
        return

    if name is None:
        if len(bad) == 1:
            raise VectorError(f"The query vector has {what}")

        raise VectorError(
            f"{rows.size} of {len(bad)} query vectors have {what} (such as number "
            f"{rows[0] + 1})"
        )

    listed = ", ".join(name(int(row)) for row in rows[:_NAMED])
    more = ", ..." if rows.size > _NAMED else ""
    raise VectorError(
        f"{rows.size} of {len(bad)} vectors have {what}: {listed}{more}. None of the "
        f"{len(bad)} was written: mend these, or leave them out (None in a field)"
    )
