"""The sections "Basic recipe" (its shell part) and "Setup" of the documentation."""

from __future__ import annotations

import http.server
import json
import threading
from importlib.metadata import version
from pathlib import Path

import fiftyone.brain as fob
import fiftyone.core.odm as foo
import numpy as np
import pytest

from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.qdrant import connection
from tests.documentation.blocks import Block, quotes, read_blocks
from tests.documentation.processes import run_python

# of Qdrant's client in memory
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

PATH = "FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"
KEY = "XXXXXXXX"  # as the documentation writes it
SERVER = {
    "engine": "server",
    "url": "http://localhost:6333",
    "path": None,
    "api_key": KEY,
    "grpc_port": 6334,
    "prefer_grpc": False,
    "timeout": connection.DEFAULT_TIMEOUT,
    "others": [],
    "withheld": None,
    "existing": False,
}
ROOT_PAGE = json.dumps(
    {"title": "qdrant - vector search engine", "version": "1.18.3", "commit": "0"}
).encode()
INDEX = """
import numpy as np
import fiftyone.brain as fob

places = without_a_server()
dataset = make_dataset()
index = fob.compute_similarity(
    dataset, embeddings=np.eye(20, 8), brain_key="documented"
)
config = dataset.get_brain_info("documented").config
answer({
    "method": config.method, "cls": config.cls, "size": index.total_index_size,
    "places": places, "run": config.serialize(),
})
dataset.delete()
"""


def block_of(heading: str, number: int) -> Block:
    return next(b for b in read_blocks() if (b.heading, b.number) == (heading, number))


def write_brain_config(home: Path, text: str) -> None:
    folder = home / ".fiftyone"
    folder.mkdir()
    (folder / "brain_config.json").write_text(text)


@pytest.fixture(scope="module")
def by_environment(tmp_path_factory) -> dict:
    """What a process made that was given all variables of the documentation."""
    given = {
        **block_of("Using the Qdrant backend", 1).exports,
        **block_of("Authentication", 0).exports,
    }
    home = tmp_path_factory.mktemp("environment")
    found, _ = run_python(INDEX, home, {**given, PATH: ""})
    return {**found, "given": given}


@pytest.fixture(scope="module")
def by_brain_config(tmp_path_factory) -> dict:
    """What a process made that was given the brain configs of the documentation."""
    given = {
        **block_of("Using the Qdrant backend", 2).parameters,
        **block_of("Authentication", 1).parameters,
    }
    home = tmp_path_factory.mktemp("brain-config")
    write_brain_config(home, json.dumps(given))
    found, _ = run_python(INDEX, home, {PATH: ""})
    return {**found, "given": given}


def database(*collections: str) -> str:
    """These collections of FiftyOne's database, by default all of it, as text."""
    db = foo.get_db_conn()
    names = collections or db.list_collection_names()
    return " ".join(str(document) for name in names for document in db[name].find())


# --- installing -----------------------------------------------------------------


@quotes("Installing the Qdrant client")
def test_installing_the_qdrant_client(blocks):
    """Under "Installing the Qdrant client": the project brings it along."""
    (block,) = blocks
    assert block.code.split() == ["pip", "install", "qdrant-client"]
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert '"qdrant-client>=' in project.read_text()
    assert version("qdrant-client")


@pytest.fixture
def local_server(monkeypatch):
    """An address where something answers as the root page of Qdrant does."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", str(len(ROOT_PAGE)))
            self.end_headers()
            self.wfile.write(ROOT_PAGE)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(connection, "LOCAL_SERVER", url)
    yield url
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("shown", ["docker run -p 6333:6333 qdrant/qdrant"])
@quotes("Basic recipe")
def test_local_server_of_the_recipe_is_found(blocks, shown, local_server, monkeypatch):
    """Under "Basic recipe": a server on docker's port needs no setting."""
    (block,) = blocks
    assert shown in block.code
    monkeypatch.delenv(PATH)
    monkeypatch.setitem(fob.brain_config.similarity_backends["qdrant"], "path", None)
    place = connection.resolve({})
    assert (place.engine, place.url) == ("server", local_server)


@quotes("Setup")
def test_docker_port_of_the_setup_is_where_we_look(blocks):
    """Under "Setup": the port that docker publishes is the one looked at."""
    (block,) = blocks
    assert "-p 6333:6333" in block.code
    assert connection.LOCAL_SERVER == "http://localhost:6333"


# --- Using the Qdrant backend ---------------------------------------------------


@quotes("Using the Qdrant backend", 0)
def test_using_the_qdrant_backend_by_parameter(blocks, make_dataset, digits):
    """Under "Using the Qdrant backend": ``backend="qdrant"`` means this one."""
    (block,) = blocks
    dataset = make_dataset(20)
    vectors = digits.vectors[:20]
    code = block.filled("dataset, embeddings=vectors", 'brain_key="documented"')
    block.run(code, dataset=dataset, vectors=vectors)
    config = dataset.get_brain_info("documented").config
    assert config.cls == "fiftyone_qdrant.similarity.QdrantSimilarityConfig"


@quotes("Using the Qdrant backend", 1)
def test_using_the_qdrant_backend_by_environment(blocks, by_environment):
    """Under "Using the Qdrant backend": the default backend by environment variable."""
    assert by_environment["given"].items() >= blocks[0].exports.items()
    assert (by_environment["method"], by_environment["size"]) == ("qdrant", 20)
    assert by_environment["cls"].startswith("fiftyone_qdrant.")


@quotes("Using the Qdrant backend", 2)
def test_using_the_qdrant_backend_by_brain_config(blocks, by_brain_config):
    """Under "Using the Qdrant backend": the default backend in brain_config.json."""
    assert by_brain_config["given"].items() >= blocks[0].parameters.items()
    assert (by_brain_config["method"], by_brain_config["size"]) == ("qdrant", 20)
    assert by_brain_config["cls"].startswith("fiftyone_qdrant.")


# --- Authentication -------------------------------------------------------------


@quotes("Authentication", 0)
def test_authentication_by_environment_variables(blocks, by_environment):
    """Under "Authentication", environment variables: all four, and none is stored."""
    (block,) = blocks
    assert len(block.exports) == 4
    assert by_environment["given"].items() >= block.exports.items()
    assert by_environment["places"] == [SERVER]
    assert not leaked(json.dumps(by_environment["run"]))


@quotes("Authentication", 1)
def test_authentication_by_brain_config(blocks, by_brain_config):
    """Under "Authentication", FiftyOne Brain config: all four, and none is stored."""
    assert by_brain_config["given"].items() >= blocks[0].parameters.items()
    assert by_brain_config["places"] == [SERVER]
    assert not leaked(json.dumps(by_brain_config["run"]))


@pytest.fixture
def with_keywords(servers, make_dataset, digits, monkeypatch):
    """What the block that gives keyword arguments is run with."""
    monkeypatch.delenv(PATH)
    dataset = make_dataset(20)
    return {"dataset": dataset, "vectors": digits.vectors[:20]}


@quotes("Authentication", 2)
def test_authentication_by_keyword_arguments(blocks, with_keywords, servers):
    """Under "Authentication", keyword arguments of ``compute_similarity()``."""
    (block,) = blocks
    code = block.filled("dataset, embeddings=vectors,")
    index = block.run(code, **with_keywords)["qdrant_index"]
    assert [{**vars(place), "others": [*place.others]} for place in servers] == [SERVER]
    assert index.client in servers.values()
    assert index.total_index_size == 20


@quotes("Authentication", 2, 3)
def test_authentication_when_loading_an_index_later(blocks, with_keywords, servers):
    """Under "Authentication", keyword arguments of ``load_brain_results()``."""
    create, load = blocks
    dataset = with_keywords["dataset"]
    create.run(create.filled("dataset, embeddings=vectors,"), **with_keywords)
    dataset.clear_cache()
    index = load.run(dataset=dataset)["qdrant_index"]
    assert [{**vars(place), "others": [*place.others]} for place in servers] == [SERVER]
    assert index.total_index_size == 20
    found = dataset.sort_by_similarity(
        dataset.first().id, k=3, brain_key="qdrant_index"
    )
    assert found.first().id == dataset.first().id


@quotes("Authentication", 2)
def test_authentication_stores_neither_key_nor_url(blocks, with_keywords):
    """Under "Authentication": nothing of the keyword arguments is in the database."""
    (block,) = blocks
    code = block.filled("dataset, embeddings=vectors,")
    index = block.run(code, **with_keywords)["qdrant_index"]
    assert index.config.collection_name in database("runs")
    assert not leaked(database("runs", "datasets"))
    assert KEY not in database()
    assert not leaked(json.dumps(index.config.serialize()))


def leaked(text: str) -> list[str]:
    words = (KEY, "localhost:6333", "api_key", "grpc_port")
    return [word for word in words if word in text]


# --- Qdrant config parameters ---------------------------------------------------


DISTANCES = {"cosine": "Cosine", "euclidean": "Euclid"}
# What Qdrant Edge, one shard in one process, has no counterpart of
NOT_EMBEDDED = {
    "replication_factor",
    "shard_number",
    "write_consistency_factor",
    "optimizers_config.memmap_threshold",
    "optimizers_config.flush_interval_sec",
    "optimizers_config.max_optimization_threads",
    "wal_config.wal_capacity_mb",
    "wal_config.wal_segments_ahead",
}
OTHER_VALUES = {
    "metric": "euclidean",
    "replication_factor": 2,
    "shard_number": 3,
    "write_consistency_factor": 2,
    "hnsw_config": {
        "m": 24,
        "ef_construct": 77,
        "full_scan_threshold": 5000,
        "max_indexing_threads": 1,
        "on_disk": True,
        "payload_m": 8,
    },
    "optimizers_config": {
        "deleted_threshold": 0.3,
        "vacuum_min_vector_number": 500,
        "default_segment_number": 2,
        "max_segment_size": 50000,
        "memmap_threshold": 60000,
        "indexing_threshold": 30000,
        "flush_interval_sec": 7,
        "max_optimization_threads": 2,
    },
    "wal_config": {"wal_capacity_mb": 16, "wal_segments_ahead": 1},
}
PARAMETERS = """
import numpy as np
import fiftyone.brain as fob

dataset = make_dataset()
index = fob.compute_similarity(
    dataset, embeddings=np.eye(20, 8), brain_key="documented", backend="qdrant"
)
info = index.client.get_collection(index.config.collection_name)
answer({
    "collection": info.config.model_dump(mode="json"),
    "run": dataset.get_brain_info("documented").config.serialize(),
})
dataset.delete()
"""


def flat(parameters: dict) -> dict:
    """Returns parameters as ``{"group.name": value}``, those that are not null."""
    values = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            values.update({f"{name}.{k}": v for k, v in value.items()})
        else:
            values[name] = value
    return {name: value for name, value in values.items() if value is not None}


def honoured(collection: dict) -> dict:
    """Returns the parameters of a collection, named as in the brain config."""
    vectors = collection["params"]["vectors"]
    metric = next(m for m, d in DISTANCES.items() if d == vectors["distance"])
    return {
        "metric": metric,
        "hnsw_config": collection["hnsw_config"],
        "optimizers_config": collection["optimizer_config"],
    }


@quotes("Qdrant config parameters", 0)
def test_qdrant_config_parameters(blocks, tmp_path):
    """Under "Qdrant config parameters": each has its effect, or is named as ignored."""
    (block,) = blocks
    given = flat(block.parameters["similarity_backends"]["qdrant"])
    write_brain_config(tmp_path, block.code)
    found, output = run_python(PARAMETERS, tmp_path, {})

    expected = {k: v for k, v in given.items() if k not in NOT_EMBEDDED}
    assert flat(honoured(found["collection"])).items() >= expected.items()
    assert flat(found["run"]).items() >= given.items()
    for name in NOT_EMBEDDED & set(given):
        assert name in output


@quotes("Qdrant config parameters", 0)
def test_qdrant_config_parameters_of_other_values(
    blocks, make_dataset, digits, monkeypatch, caplog
):
    """Under "Qdrant config parameters": no null, no defaults."""
    (block,) = blocks
    documented = block.parameters["similarity_backends"]["qdrant"]
    for name, value in documented.items():
        if isinstance(value, dict):
            assert value.keys() == OTHER_VALUES[name].keys()
    assert documented.keys() == OTHER_VALUES.keys()
    backend = fob.brain_config.similarity_backends["qdrant"]
    for name, value in OTHER_VALUES.items():
        monkeypatch.setitem(backend, name, value)

    index = fob.compute_similarity(
        make_dataset(20),
        embeddings=digits.vectors[:20],
        brain_key="documented",
        backend="qdrant",
    )
    info = index.client.get_collection(index.config.collection_name)
    given = flat(OTHER_VALUES)
    expected = {k: v for k, v in given.items() if k not in NOT_EMBEDDED}
    found = honoured(info.config.model_dump(mode="json"))
    assert flat(found).items() >= expected.items()
    said = " ".join(r.getMessage() for r in caplog.records if "ignored" in r.message)
    assert {name for name in given if name in said} == NOT_EMBEDDED
    assert set(index.config.ignored) == NOT_EMBEDDED


@quotes("Qdrant config parameters", 0)
def test_qdrant_config_parameters_are_sent_to_a_server(blocks):
    """Under "Qdrant config parameters" become the arguments of Qdrant's own client."""
    (block,) = blocks
    given = dict(block.parameters["similarity_backends"]["qdrant"])
    assert given.pop("metric") == "cosine"
    arguments = CollectionParameters.parse(**given).to_arguments()
    for name, group in given.items():
        if isinstance(group, dict):
            sent = arguments[name].model_dump(exclude_unset=True)
            assert sent == {k: v for k, v in group.items() if v is not None}
        else:
            assert name not in arguments  # null: left to Qdrant


@quotes("Qdrant config parameters", 1)
def test_qdrant_config_parameters_passed_directly(blocks, make_dataset, digits, caplog):
    """Under "Qdrant config parameters": passed to ``compute_similarity()``."""
    (block,) = blocks
    dataset = make_dataset(20)
    code = block.filled("dataset, embeddings=vectors,")
    names = block.run(code, fob=fob, dataset=dataset, vectors=digits.vectors[:20])
    index = names["qdrant_index"]
    assert index.client.collection_exists("your-collection-name")
    assert index.metric == "cosine"
    assert index.config.replication_factor == 1
    assert index.total_index_size == 20
    assert "ignored" not in caplog.text  # one copy is what there is
    np.testing.assert_allclose(
        index.get_embeddings(dataset.values("id"))[0], digits.vectors[:20], rtol=1e-5
    )
