"""A tiny image-and-text embedding model for handwritten digits.

FiftyOne loads this folder as a source of zoo models once it lies in
``fiftyone.config.model_zoo_dir`` (``digits.install_model`` puts it there), so
``foz.load_zoo_model("digits-prompt-model")`` works in every process: scripts,
the App's server, delegated workers.

The model needs no deep-learning framework and no download. Its "weights" are
computed from scikit-learn's digits: a fixed random projection, and the mean
embedding of each digit, which is what a prompt naming that digit maps to.
"""

from __future__ import annotations

import hashlib
import re

import fiftyone.core.models as fom
import numpy as np
from PIL import Image

DIM = 512
_SIDE = 8
_PIXELS = _SIDE * _SIDE
_NAMES = ["zero", "one", "two", "three", "four"]
_NAMES += ["five", "six", "seven", "eight", "nine"]
_DIGIT = re.compile(rf"\b({'|'.join(_NAMES)}|[0-9])(?:e?s)?\b", re.IGNORECASE)


def download_model(model_name, model_path):
    """Write the model's weights (FiftyOne calls this once per machine)."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(51)
    shape = (_PIXELS, DIM - _PIXELS - 1)
    projection = rng.normal(size=shape).astype(np.float32) / np.sqrt(shape[1])
    digits = load_digits()
    embeddings = _embed_pixels(digits.data / 16, projection)
    prototypes = [embeddings[digits.target == n].mean(axis=0) for n in range(10)]
    np.savez(model_path, projection=projection, prototypes=_unit(np.stack(prototypes)))


def load_model(model_name, model_path, **kwargs):
    """Return the model (FiftyOne calls this)."""
    with np.load(model_path) as weights:
        return DigitsPromptModel(weights["projection"], weights["prototypes"])


class DigitsPromptModel(fom.Model, fom.EmbeddingsMixin, fom.PromptMixin):
    """Embeds an image's 8 x 8 grey thumbnail, or a prompt that names digits.

    Args:
        projection: float32, shape (64, 447), of the pixels
        prototypes: float32, shape (10, 512), unit vectors, one per digit
    """

    def __init__(self, projection, prototypes):
        self._projection = projection
        self._prototypes = prototypes
        self._last = None
        self._preprocess = True

    @property
    def media_type(self):
        """Images only."""
        return "image"

    @property
    def has_embeddings(self):
        """Embeddings are all it has."""
        return True

    @property
    def can_embed_prompts(self):
        """Prompts and images share one space."""
        return True

    @property
    def ragged_batches(self):
        """Images of any sizes may share a batch: all become 8 x 8."""
        return False

    @property
    def transforms(self):
        """Scaling is part of embedding."""
        return None

    @property
    def preprocess(self):
        """Without effect: there are no transforms."""
        return self._preprocess

    @preprocess.setter
    def preprocess(self, value):
        self._preprocess = value

    def predict(self, arg):
        """Embed one image; there is no label to return."""
        self.embed(arg)

    def get_embeddings(self):
        """Return what was embedded last, float32, shape (batch, 512)."""
        return self._last

    def embed(self, arg):
        """Embed one image: uint8, HWC or HW. Returns float32, shape (512,)."""
        return self.embed_all([arg])[0]

    def embed_all(self, args):
        """Embed images of any sizes. Returns float32, shape (len(args), 512)."""
        pixels = np.stack([_thumbnail(image) for image in args])
        self._last = _embed_pixels(pixels, self._projection)
        return self._last

    def embed_prompt(self, arg):
        """Embed a prompt. Returns float32, shape (512,), length 1.

        The digits it names ("a three", "7s") give the mean of their images;
        any other text gives a direction of its own, the same each time.
        """
        named = [match.group(1).lower() for match in _DIGIT.finditer(arg)]
        if named:
            digits = [int(n) if n.isdigit() else _NAMES.index(n) for n in named]
            return _unit(self._prototypes[digits].mean(axis=0))
        seed = int.from_bytes(hashlib.sha256(arg.encode()).digest()[:8], "big")
        return _unit(np.random.default_rng(seed).normal(size=DIM))


def _thumbnail(image):
    """Return 64 grey values in [0, 1]."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    grey = Image.fromarray(image.astype(np.uint8)).convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel() / 255


def _embed_pixels(pixels, projection):
    """Pixels, their projection and a constant, so that black has a direction."""
    pixels = np.asarray(pixels, dtype=np.float32)
    constant = np.full((len(pixels), 1), 0.1, dtype=np.float32)
    return _unit(np.hstack([pixels, pixels @ projection, constant]))


def _unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
