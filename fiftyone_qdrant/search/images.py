"""A picture that is not in the dataset, embedded as those of samples are."""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import fiftyone.core.models as fom
import fiftyone.utils.image as foui
from PIL import Image

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search.matrices import to_matrix

# One sentence whatever is wrong: nobody learns from it which files there are
_NO_IMAGE = (
    "This is not an image that can be read, or it has far too many pixels. Give a PNG "
    "or JPEG: a path, or the file's bytes (base64 works, too)"
)


def embed(image: Any, model: Any) -> Matrix:
    """Embeds one picture with a model's own transforms.

    Args:
        image: the path of a file, the bytes of one, these in base64, or what the App
            uploads: a dict with the bytes in base64 as ``content``
        model: a :class:`fiftyone.core.models.Model`

    Returns:
        float32, shape ``(1, size)``

    Raises:
        ConfigError: if it is no picture, or the model does not embed pictures
    """
    if model.media_type != "image" or not model.has_embeddings:
        raise ConfigError(
            f"The model of this index ({type(model).__name__}) embeds no images"
        )

    with _file_of(image) as path:
        picture = _read(path, model)

    with model:
        return to_matrix(model.embed(picture))


def check(image: Any) -> None:
    """Makes sure that a picture, in any form that :func:`embed` takes, can be read.

    Raises:
        ConfigError: if it cannot
    """
    with _file_of(image) as path, _refused(), Image.open(path) as opened:
        opened.load()


def _read(path: str, model: Any) -> Any:
    """Reads a picture as FiftyOne does for this kind of model."""
    with _refused():
        if isinstance(model, fom.TorchModelMixin):
            with Image.open(path) as opened:
                return opened.convert("RGB")

        return foui.read(path)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise ConfigError(_NO_IMAGE) from e


@contextmanager
def _file_of(image: Any) -> Iterator[str]:
    if isinstance(image, (str, os.PathLike)) and _is_file(image):
        yield os.fspath(image)
        return

    content = image.get("content") if isinstance(image, Mapping) else image
    if isinstance(content, str):
        content = _decoded(content)

    if not isinstance(content, bytes) or not content:
        raise ConfigError(_NO_IMAGE)

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def _is_file(path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a null byte
        return False


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise ConfigError(_NO_IMAGE) from e
