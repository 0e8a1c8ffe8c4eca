"""Scikit-learn's 1,797 handwritten digits as images, vectors and a zoo model.

Real data that comes with an installed package: the demo and the tests use it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

MODEL_NAME = "digits-prompt-model"
_ZOO_MODEL = Path(__file__).with_name("zoo_model")


class Digits(NamedTuple):
    """The data set.

    ``vectors`` are the pixels: float32, shape (1797, 64), in [0, 16].
    ``labels`` are the digits as strings, shape (1797,).
    """

    vectors: np.ndarray
    labels: np.ndarray


class Scene(NamedTuple):
    """A picture of several digits, and what a person would annotate in it."""

    path: Path
    labels: list[str]
    boxes: list[list[float]]  # relative [x, y, width, height], as in FiftyOne


def load_digits() -> Digits:
    """Return all digits, always in the same order."""
    from sklearn.datasets import load_digits as load

    data = load()
    return Digits(data.data.astype(np.float32), data.target.astype(str))


def write_images(folder: Path, digits: Digits, side: int = 64) -> list[Path]:
    """Write one PNG per digit, unless it is there; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, (vector, label) in enumerate(zip(*digits, strict=True)):
        path = folder / f"{i:04d}-{label}.png"
        if not path.exists():
            _picture(vector, side).save(path)
        paths.append(path)
    return paths


def write_scenes(folder: Path, digits: Digits, count: int, side: int = 64) -> list:
    """Write pictures of 2 x 2 places that hold one to four digits.

    Scene ``i`` shows digit ``i`` and its ``i % 5 - 1`` followers. Each fifth one
    shows its digit without any annotation.

    Returns:
        a list of ``count`` Scenes
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenes = []
    for i in range(count):
        path = folder / f"scene-{i:04d}.png"
        shown = [(i + j) % len(digits.labels) for j in range(max(1, i % 5))]
        places = [((i + j) % 4 % 2, (i + j) % 4 // 2) for j in range(len(shown))]
        if not path.exists():
            canvas = Image.new("L", (2 * side, 2 * side))
            for digit, (x, y) in zip(shown, places, strict=True):
                picture = _picture(digits.vectors[digit], side)
                canvas.paste(picture, (x * side, y * side))
            canvas.save(path)
        annotated = i % 5 > 0
        scenes.append(
            Scene(
                path,
                [str(digits.labels[digit]) for digit in shown if annotated],
                [[x / 2, y / 2, 0.5, 0.5] for x, y in places if annotated],
            )
        )
    return scenes


def install_model(zoo_dir: Path) -> None:
    """Make ``foz.load_zoo_model(MODEL_NAME)`` work wherever ``zoo_dir`` is used.

    Args:
        zoo_dir: ``fiftyone.config.model_zoo_dir``
    """
    shutil.copytree(
        _ZOO_MODEL,
        Path(zoo_dir) / "digits_zoo",
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )


def _picture(vector: np.ndarray, side: int) -> Image.Image:
    grey = np.rint(vector.reshape(8, 8) * (255 / 16)).astype(np.uint8)
    return Image.fromarray(grey).resize((side, side), Image.Resampling.NEAREST)
