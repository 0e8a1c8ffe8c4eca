"""What creating an index would do and take, as a result that can be shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.parameters.estimates import Estimate
from fiftyone_qdrant.status.indexes import EngineStatus
from fiftyone_qdrant.words import bytes_in_words, seconds_in_words

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """Why it would fail, in the words of the error.

    Attributes:
        text: one sentence or two
        where: the argument that is wrong, such as ``"brain_key"`` or
            ``"hnsw_config.m"``; ``None`` if no single one is
    """

    text: str
    where: str | None = None


@dataclass
class Preflight:
    """What creating an index would do and take.

    Attributes:
        problems: what would stop it; empty if nothing is known to
        engine: whether Qdrant answers, its version and milliseconds of a call
        collection_name: the collection it would go to, unless that gets a new name
        collection: what is there now, and whose that is, in words
        vectors: how many vectors at most
        about: whether ``vectors`` is an estimate from some of the samples
        size: dimensions of the vectors, or ``None`` while that is not known
        metric: the metric of the index
        estimate: memory, disk and time, if the size is known
        free_disk: bytes free where an embedded store is
        exists: whether the collection is there already
        place: which argument says where Qdrant is: ``"url"``, ``"path"`` or neither
        notes: what else is good to know
        warnings: what may go wrong, or could not be checked
    """

    problems: list[Problem] = field(default_factory=list)
    engine: EngineStatus | None = None
    collection_name: str | None = None
    collection: str | None = None
    vectors: int | None = None
    about: bool = False
    size: int | None = None
    metric: str | None = None
    estimate: Estimate | None = None
    free_disk: int | None = None
    exists: bool = False
    place: str | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is known to stop it."""
        return not self.problems

    @property
    def lines(self) -> list[str]:
        """The same in a few short sentences, the problems left out."""
        return [
            line
            for line in (
                _engine_line(self.engine),
                self.collection,
                self._vectors_line(),
                self._estimate_line(),
                *self.notes,
                *self.warnings,
            )
            if line
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain JSON."""
        return {**asdict(self), "ok": self.ok, "lines": self.lines}

    def _vectors_line(self) -> str | None:
        if self.vectors is None:
            return None

        size = f" of {self.size:,} dimensions" if self.size else ""
        about = "about" if self.about else "up to"
        return f"{about} {self.vectors:,} vectors{size}, {self.metric}".capitalize()

    def _estimate_line(self) -> str | None:
        if self.estimate is None:
            return None

        text = (
            f"About {bytes_in_words(self.estimate.memory)} of memory, "
            f"{bytes_in_words(self.estimate.disk)} of disk"
        )
        if self.free_disk is not None:
            text += f" ({bytes_in_words(self.free_disk)} free)"

        if self.estimate.seconds is not None:
            text += f", {seconds_in_words(self.estimate.seconds)}"

        return text

    @contextmanager
    def noting(self, where: str | None = None) -> Iterator[None]:
        """Notes an error as a problem, and goes on.

        What only this look ran into stops nothing: it is noted as unchecked.
        """
        try:
            yield
        except (QdrantPluginError, ValueError) as e:
            self.problems.append(Problem(str(e), where))
        except Exception as e:
            logger.warning("Part of a preflight failed", exc_info=True)
            self.warnings.append(f"Not all could be checked: {type(e).__name__}: {e}")


def _engine_line(engine: EngineStatus | None) -> str | None:
    if engine is None or engine.problem:
        return None

    return (
        f"{engine.name} {engine.version} at {engine.location} answers in "
        f"{max(1, round(engine.latency_ms or 0))} ms"
    )
