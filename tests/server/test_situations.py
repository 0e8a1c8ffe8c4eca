"""What every verb does in every situation of a server: it works, or says why not."""

from __future__ import annotations

import re

import fiftyone.brain as fob
import pytest

from fiftyone_qdrant import clean_up, find_drift, index_status, sync, tune
from fiftyone_qdrant.errors import QdrantPluginError
from tests.server.misbehaviour import Fault

KEY = "a key"
READS = {
    "query": lambda i, s, v: i.search(v[0], k=5),
    "query by id": lambda i, s, v: i.search(s.values("id")[3], k=5),
    "query in a view": lambda i, s, v: s[3:40].sort_by_similarity(
        s.values("id")[3], k=5, brain_key="index"
    ),
    "duplicates": lambda i, s, v: i.find_duplicates(thresh=0.1),
    "embeddings": lambda i, s, v: i.get_embeddings(),
    "size": lambda i, s, v: i.total_index_size,
    "drift": lambda i, s, v: find_drift(i, s),
    "status": lambda i, s, v: status(s),
}
WRITES = {
    "tune": lambda i, s, v: tune(i, hnsw_config={"m": 20}),
    "add": lambda i, s, v: i.add_to_index(v[:9] + 1, s.values("id")[:9]),
    "sync": lambda i, s, v: sync(i, s),
    "remove": lambda i, s, v: i.remove_from_index(sample_ids=s.values("id")[:9]),
}
ENDS = {"cleanup": lambda i, s, v: clean_up(i, confirm="points")}


def status(samples):
    found = index_status(samples, "index")
    if found.problem:
        raise QdrantPluginError(found.problem)


def read_only(server):
    server.api_key, server.read_only_key = "full", KEY


def token(server):
    """A token for the one collection: Qdrant says so of everything else."""
    own = r"/collections/points(/(points|exists|index|cluster).*)?$"
    words = "Forbidden: Access to collection second is required"
    server.faults = [
        Fault(rf"^(?!\w+ {own})\w+ /collections/.", status=403, error=words),
        Fault(r"^(PATCH|DELETE) /collections/points$", status=403, error=words),
    ]


def a_node_down(server):
    server.replicas.down = server.replicas.dead = True


def all_copies_down(server):
    server.replicas.lost = True


ALL = {*READS, *WRITES, *ENDS, "create"}
REFUSED = "refused the API key for this"
UNREACHED = "Too few replicas of collection .* node"
SITUATIONS = {
    "open": (lambda server: None, {}),
    "a key that only reads": (
        read_only,
        dict.fromkeys([*WRITES, *ENDS, "create"], REFUSED),
    ),
    "a collection's token": (token, dict.fromkeys(["tune", *ENDS, "create"], REFUSED)),
    "one of two copies down": (a_node_down, {"status": "1 of 2 replicas are down"}),
    "the only copy down": (all_copies_down, dict.fromkeys(ALL - {"tune"}, UNREACHED)),
}


@pytest.mark.filterwarnings("ignore:Api key is used")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_verb_works_or_says_why_not(
    situation, create, samples, vectors, server, monkeypatch
):
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", server.url)
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_API_KEY", KEY)
    enter, refused = SITUATIONS[situation]
    if situation == "one of two copies down":
        server.replicas.two()
    index = create(server.url, collection_name="points")
    samples.delete_samples(samples.limit(1))  # an orphan, for Sync
    enter(server)
    said = {}
    for name, verb in (READS | WRITES | ENDS).items():
        said[name] = outcome(lambda verb=verb: verb(index, samples, vectors))
    said["create"] = outcome(
        lambda: fob.compute_similarity(
            samples,
            embeddings=vectors[1:],
            backend="qdrant",
            brain_key="other",
            collection_name="second",
        )
    )
    for name, words in said.items():
        if name in refused:
            assert re.search(refused[name], words or "worked"), (name, words)
        else:
            assert words is None, (name, words)


def outcome(verb):
    try:
        verb()
    except QdrantPluginError as e:
        return str(e)
    return None
