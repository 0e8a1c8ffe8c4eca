"""A picture that is not in the dataset, as a model sees it."""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import fiftyone.utils.image as foui
import numpy as np
import numpy.typing as npt

from . import points
from .errors import ConfigError
from .points import Matrix

Image = npt.NDArray[np.uint8]


def read(image: Any) -> Image:
    """Reads a picture as FiftyOne reads those of samples.

    Args:
        image: the path of a file, the bytes of one, these in base64, or what the App
            uploads: a dict with the bytes in base64 as ``content``

    Returns:
        uint8, RGB, shape ``(height, width, 3)``

    Raises:
        ConfigError: if it is no picture
    """
    if isinstance(image, Mapping):
        image = image.get("content")

    if isinstance(image, (str, os.PathLike)) and _is_file(image):
        return _read_file(os.fspath(image))

    if isinstance(image, str):
        image = _decoded(image)

    if not isinstance(image, bytes) or not image:
        raise ConfigError(
            "image is the path of a file, or the bytes of one, in base64 if you like"
        )

    with tempfile.NamedTemporaryFile() as file:
        file.write(image)
        file.flush()
        return _read_file(file.name)


def embed(image: Image, model: Any) -> Matrix:
    """Embeds one picture with a model's own transforms.

    Args:
        image: uint8, RGB, shape ``(height, width, 3)``
        model: a :class:`fiftyone.core.models.Model`

    Returns:
        float32, shape ``(1, size)``

    Raises:
        ConfigError: if the model does not embed pictures
    """
    if model.media_type != "image" or not model.has_embeddings:
        raise ConfigError(
            f"The model of this index ({type(model).__name__}) embeds no images"
        )

    with model:
        return points.to_matrix(model.embed(image))


def _is_file(path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a null byte
        return False


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise ConfigError(
            f"There is no file '{text[:100]}', and it is no image in base64 either"
        ) from e


def _read_file(path: str) -> Image:
    try:
        return np.asarray(foui.read(path), dtype=np.uint8)
    except OSError as e:
        raise ConfigError(
            "The file is no image that can be read. Give one such as a PNG or JPEG"
        ) from e
