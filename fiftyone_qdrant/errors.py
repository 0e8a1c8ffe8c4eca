"""Every error this package raises on purpose.

    QdrantPluginError                 what happened, and what to do about it
    |-- ConfigError (ValueError)      a parameter is wrong, or two of them disagree
    |   `-- UnsupportedByEngine       the chosen engine cannot honour a parameter
    |-- ConnectionFailed (ConnectionError)
    |   |-- AuthenticationFailed      the server refused the API key
    |   `-- StoreUnavailable          the embedded store cannot be opened or used
    |-- CollectionError
    |   |-- CollectionNotFound (LookupError)
    |   |-- CollectionExists
    |   |-- CollectionDamaged         files of an embedded collection are damaged
    |   |-- CollectionMismatch        another vector size, metric or id scheme
    |   `-- CollectionShared          deleting it would take others' index away
    |-- VectorError (ValueError)      vectors that cannot be stored or queried
    |-- MissingIDs (ValueError)       sample or label ids the index does not hold
    |-- IndexNotFound (LookupError)   no such similarity run on the dataset
    |-- IngestInterrupted             part is indexed; the same call goes on from there
    |   `-- IngestCancelled           somebody asked it to stop
    `-- EngineError                   the engine failed; its own words follow
        |-- RequestTooLarge           one message was more than the server takes
        |-- LimitExceeded             more than the collection's strict mode allows
        `-- ReplicasMissing           too few copies of the collection took part

The second bases let callers that catch built-in errors, as FiftyOne does, keep
working. The cause is always chained (``raise ... from``).
"""

from __future__ import annotations


class QdrantPluginError(Exception):
    """Base of all errors of this package.

    Attributes:
        retry_after: seconds after which the same call may succeed, or ``None`` if
            there is no reason to think so
        away: whether the server was not there at all, and may come back
    """

    retry_after: float | None = None
    away: bool = False


class ConfigError(QdrantPluginError, ValueError):
    """A parameter is wrong, or two parameters disagree."""


class UnsupportedByEngine(ConfigError):
    """The chosen engine cannot honour a parameter."""


class ConnectionFailed(QdrantPluginError, ConnectionError):
    """Qdrant does not answer where it was looked for."""


class AuthenticationFailed(ConnectionFailed):
    """The server refused the API key."""


class StoreUnavailable(ConnectionFailed):
    """The embedded store cannot be opened, started or written."""


class CollectionError(QdrantPluginError):
    """Something is wrong with one collection."""


class CollectionNotFound(CollectionError, LookupError):
    """The collection does not exist."""


class CollectionExists(CollectionError):
    """The collection exists already."""


class CollectionDamaged(CollectionError):
    """Files of an embedded collection are missing or damaged."""


class CollectionMismatch(CollectionError, ValueError):
    """The collection has another vector size, metric or id scheme."""


class CollectionShared(CollectionError):
    """Deleting the collection would destroy somebody else's index."""


class VectorError(QdrantPluginError, ValueError):
    """Vectors of the wrong shape, or with NaN or infinite values."""


class MissingIDs(QdrantPluginError, ValueError):
    """The index does not hold some of the given sample or label ids."""


class IndexNotFound(QdrantPluginError, LookupError):
    """The dataset has no Qdrant index under the given brain key."""


class IngestInterrupted(QdrantPluginError):
    """An ingest failed after its first batch, and can go on from there."""


class IngestCancelled(IngestInterrupted):
    """An ingest was asked to stop, and did after the batch under way."""


class EngineError(QdrantPluginError):
    """The engine failed in a way that has no more specific class here."""


class RequestTooLarge(EngineError):
    """One message was more than the server, or a proxy before it, takes."""


class LimitExceeded(EngineError):
    """A call asked for more than the collection's strict mode allows.

    Attributes:
        limit: the limit's name in ``strict_mode_config``
        allowed: what it allows: a number, or ``False`` for what is not allowed at all
    """

    limit: str = ""
    allowed: float | bool = False


class ReplicasMissing(EngineError):
    """Too few copies of the collection took part, so not all of it was done."""


def sentence(error: Exception) -> str:
    """Returns an error's words, ended so that another sentence can follow."""
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."
