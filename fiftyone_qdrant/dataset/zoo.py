"""What the model zoo says of its models, and the check of one before it embeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import eta.core.utils as etau
import fiftyone as fo
import fiftyone.core.media as fom
import fiftyone.zoo as foz

from fiftyone_qdrant.dataset.samples import zoo_models
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.words import bytes_in_words

RECOMMENDED = "clip-vit-base32-torch"
_OTHER_TASKS = {"detection", "segmentation"}
_SPECIAL = {"medical", "vlm"}  # text and image, but not the first to try
_SIZES = {
    "clip-vit-base32-torch": 512,
    "siglip-base-patch16-224-torch": 768,
    "dinov2-vits14-torch": 384,
    "dinov2-vitb14-torch": 768,
    "dinov2-vitl14-torch": 1024,
    "dinov2-vitg14-torch": 1536,
}


@dataclass(frozen=True)
class Offer:
    """A model that a user may choose.

    Attributes:
        name: its name in the zoo
        text: whether it embeds text as well
        about: what it embeds, its size, and whether it is here, in a few words
        here: whether it is downloaded
    """

    name: str
    text: bool
    about: str
    here: bool


def offers(media_type: str, text: bool = False) -> list[Offer]:
    """Returns the models that embed samples of a media type, best ones first.

    Args:
        media_type: FiftyOne's media type of the samples
        text (False): only those that embed text as well
    """
    here = fo.config.model_zoo_dir
    video = media_type == fom.VIDEO
    fitting = [
        model
        for model in zoo_models()
        if model.has_tag("embeddings")
        and model.has_tag("video") == video
        and not _OTHER_TASKS.intersection(model.tags)
        and (not text or model.has_tag("text-embeddings"))
    ]
    fitting.sort(
        key=lambda model: (
            model.name != RECOMMENDED,
            not model.has_tag("text-embeddings"),
            bool(_SPECIAL.intersection(model.tags)),
            model.name,
        )
    )
    return [_offer(model, model.is_in_dir(here)) for model in fitting]


def _offer(model: Any, here: bool) -> Offer:
    text = model.has_tag("text-embeddings")
    what = "videos" if model.has_tag("video") else "images"
    words = [f"text and {what}" if text else what]
    if model.name == RECOMMENDED:
        words.append("recommended")

    if model.size_bytes:
        words.append(bytes_in_words(model.size_bytes))

    if here:
        words.append("downloaded")

    return Offer(model.name, text, ", ".join(words), here)


def known_size(name: str | None) -> int | None:
    """Returns the dimensions of a model's embeddings, or ``None`` if not known here."""
    return _SIZES.get(name or "")


def check_packages(name: str) -> None:
    """Checks that there is such a model, and that what it needs is installed.

    Raises:
        ValueError: FiftyOne's, if there is no such model
        ConfigError: if packages are missing
    """
    model = foz.get_zoo_model(name)
    if fo.config.requirement_error_level > 0:
        return

    try:
        model.ensure_requirements(error_level=0)
    except (etau.PackageError, etau.ExecutableNotFoundError, OSError) as e:
        packages = getattr(model.requirements, "packages", None)
        way = ""
        if isinstance(packages, list):
            way = f": pip install {' '.join(packages)}"

        raise ConfigError(
            f"Model '{name}' needs packages that are not installed here{way}"
        ) from e


def check_media(name: str, media_type: str) -> None:
    """Checks that a model may embed samples of a media type; loads nothing.

    Raises:
        ConfigError: if it cannot
    """
    if media_type not in (fom.IMAGE, fom.VIDEO):
        raise ConfigError(
            f"Models of the zoo embed images and videos, and this is '{media_type}'. "
            "Embed it yourself, and give the field that holds the embeddings"
        )

    model = foz.get_zoo_model(name)
    config = model.default_deployment_config_dict or {}
    if not str(config.get("type", "")).startswith("fiftyone."):
        return  # somebody's own: what its tags leave out says nothing

    if not model.has_tag("embeddings"):
        raise ConfigError(f"Model '{name}' makes no embeddings. Choose one that does")

    _check_kind(name, "video" if model.has_tag("video") else "image", media_type)


def _check_kind(name: str, kind: str, media_type: str) -> None:
    if kind == media_type:
        return

    way = "Choose a model of images"
    if media_type == fom.VIDEO:
        way = "Choose a model of videos, or index a view of frames: dataset.to_frames()"

    raise ConfigError(
        f"Model '{name}' embeds {kind}s, and these are {media_type}s. {way}"
    )


def download(name: str) -> str | None:
    """Returns what must be downloaded before a model embeds, in words."""
    model = foz.get_zoo_model(name)
    if model.manager is None or model.is_in_dir(fo.config.model_zoo_dir):
        if model.manager is None and model.size_bytes:
            size = bytes_in_words(model.size_bytes)
            return f"Downloads {size} first, unless '{name}' was used here before"

        return None

    size = f" ({bytes_in_words(model.size_bytes)})" if model.size_bytes else ""
    return f"Downloads model '{name}' first{size}"


def load(name: str, media_type: str | None) -> Any:
    """Loads a model that is to embed samples of a media type, or only text.

    Raises:
        ValueError: FiftyOne's, if there is no such model
        ConfigError: if it cannot be loaded, or cannot embed them
    """
    check_packages(name)
    try:
        model = foz.load_zoo_model(name)
    except Exception as e:
        reason = str(e).strip().splitlines() or [""]
        raise ConfigError(
            f"Model '{name}' cannot be loaded: {type(e).__name__}: {reason[0]:.300}"
        ) from e

    if not model.has_embeddings:
        raise ConfigError(f"Model '{name}' makes no embeddings. Choose one that does")

    if media_type is not None:
        _check_kind(name, str(model.media_type), media_type)

    return model
