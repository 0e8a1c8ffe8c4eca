"""Wrong input gets one clear sentence, and nothing is lost or left behind."""

from __future__ import annotations

import http.server
import os
import threading
from pathlib import Path
from typing import Any

import fiftyone.brain as fob
import numpy as np
import pytest
from bson import ObjectId
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant import errors, writing
from tests import isolation
from tests.plugin.calls import call, sentence, snapshot
from tests.plugin.processes import run_python

UNKNOWN_ID = "5" * 24
KEY = "planted-key-51"
VECTORS = np.eye(40, 64, dtype=np.float32)
BAD_VALUE = np.where(np.eye(40, 64) > 0, np.nan, 1)


@pytest.fixture
def indexed(dataset):
    """The dataset, with an index "pixels" in the collection "existing"."""
    fob.compute_similarity(
        dataset,
        embeddings="pixels",
        backend="qdrant",
        brain_key="pixels",
        collection_name="existing",
    )
    return dataset


@pytest.fixture
def nothing_lost(indexed, client):
    """Compares all runs and collections before and after the test."""
    before = snapshot(client)
    assert before["collections"] == {"existing": 40}
    yield
    assert snapshot(client) == before
    indexed.reload()
    assert indexed.list_brain_runs() == ["pixels"]
    index = indexed.load_brain_results("pixels")
    assert sorted(index.sample_ids) == sorted(indexed.values("id"))


def check_sentence(error: BaseException) -> None:
    said = sentence(error)
    assert 15 < len(said) < 300, said
    assert "Traceback" not in said
    assert KEY not in str(error)


def create(door: str, dataset: Any, brain_key: str = "new", **arguments: Any) -> None:
    """Creates an index through the library or the operator."""
    arguments = {"embeddings": "pixels", **arguments}
    if door == "operator":
        call("create_qdrant_index", dataset, brain_key=brain_key, **arguments)
    else:
        fob.compute_similarity(
            dataset, backend="qdrant", brain_key=brain_key, **arguments
        )


def refused(door: str, error: type[Exception], saying: str) -> Any:
    """Expects an error: the operator reports it as FiftyOne's ExecutionError."""
    kind = ExecutionError if door == "operator" else error
    return pytest.raises(kind, match=saying)


both_doors = pytest.mark.parametrize("door", ["library", "operator"])


# --- creating an index ----------------------------------------------------------

CREATES = {
    "metric": (
        {"metric": "hamming"},
        errors.ConfigError,
        "Unknown metric 'hamming'|Path: metric",
    ),
    "key-exists": (
        {"brain_key": "pixels"},
        ValueError,
        "'pixels'.* already exists|a brain run 'pixels' already",
    ),
    "key-is-no-identifier": (
        {"brain_key": "my index"},
        ValueError,
        "key 'my index'|'my index' cannot be a brain key",
    ),
    "key-is-empty": (
        {"brain_key": ""},
        ValueError,
        "key ''|'' cannot be a brain key|Path: brain_key",
    ),
    "parameter-unknown": (
        {"hnsw_config": {"edges": 16}},
        errors.ConfigError,
        "hnsw_config has no parameter 'edges'",
    ),
    "parameter-of-wrong-type": (
        {"hnsw_config": {"m": "many"}},
        errors.ConfigError,
        "hnsw_config.m must be a whole number",
    ),
    "parameter-out-of-range": (
        {"optimizers_config": {"deleted_threshold": 7.5}},
        errors.ConfigError,
        "deleted_threshold must be between 0 and 1",
    ),
    "group-is-no-dict": (
        {"wal_config": 32},
        errors.ConfigError,
        "wal_config must be a dict|Path: wal_config",
    ),
    "write-consistency-beyond-copies": (
        {"replication_factor": 1, "write_consistency_factor": 2},
        errors.ConfigError,
        "no write could ever succeed",
    ),
    "quantization-unknown": (
        {"quantization_config": {"magic": {"bits": 1}}},
        errors.ConfigError,
        "Unknown quantization 'magic'",
    ),
    "collection-of-another-metric": (
        {"collection_name": "existing", "metric": "euclidean"},
        errors.CollectionMismatch,
        "exists with metric 'cosine'.*another collection_name",
    ),
    "collection-of-another-size": (
        {"collection_name": "existing", "embeddings": "short"},
        errors.CollectionMismatch,
        "has 64.*another collection_name",
    ),
    "url-and-path": (
        {"url": "http://127.0.0.1:9", "path": "/nowhere"},
        errors.ConfigError,
        "not both",
    ),
    "url-is-none": ({"url": "ftp://example"}, errors.ConfigError, "no URL"),
    "vectors-with-nan": (
        {"embeddings": "holes"},
        errors.VectorError,
        "40 of 40 vectors have NaN or infinite values.*Nothing was written",
    ),
    "vectors-with-infinity": (
        {"embeddings": "endless"},
        errors.VectorError,
        "1 of 40 vectors have NaN or infinite values.*row 39",
    ),
}


@both_doors
@pytest.mark.parametrize("case", CREATES)
def test_create_refuses(case, door, indexed, nothing_lost):
    arguments, error, saying = CREATES[case]
    endless = VECTORS.copy()
    endless[-1, -1] = np.inf
    indexed.set_values("short", list(VECTORS[:, :8]))
    indexed.set_values("holes", list(BAD_VALUE))
    indexed.set_values("endless", list(endless))
    with refused(door, error, saying) as caught:
        create(door, indexed, **arguments)
    check_sentence(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_create_refuses_an_array_with_bad_values(bad, indexed, nothing_lost):
    vectors = VECTORS.astype(np.float64)
    vectors[7, 3] = bad
    with pytest.raises(errors.VectorError, match=r"1 of 40.*row 7") as caught:
        create("library", indexed, embeddings=vectors)
    check_sentence(caught.value)


@pytest.mark.parametrize("keyword", ["colection_name", "apikey"])
def test_create_refuses_an_unknown_keyword(keyword, indexed, nothing_lost):
    with pytest.raises(errors.ConfigError, match=f"'{keyword}'") as caught:
        create("library", indexed, **{keyword: KEY})
    check_sentence(caught.value)


def test_create_operator_refuses_a_field_that_is_none(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="Path: embeddings") as caught:
        create("operator", indexed, embeddings="nothing")
    check_sentence(caught.value)


def test_create_operator_refuses_an_unknown_model(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="'no-such-model' not found") as caught:
        create("operator", indexed, embeddings=None, model="no-such-model")
    check_sentence(caught.value)


def test_create_operator_asks_for_embeddings_or_model(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="embeddings field or the model"):
        create("operator", indexed, embeddings=None)


def test_create_operator_without_any_embedding_leaves_nothing(indexed, nothing_lost):
    indexed.clone_sample_field("pixels", "empty")
    indexed.clear_sample_field("empty")
    with pytest.raises(ExecutionError, match="Nothing to index: field 'empty'"):
        create("operator", indexed, embeddings="empty")


def test_create_operator_connects_only_to_what_exists(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="no collection 'missing'"):
        create("operator", indexed, connect=True, collection_name="missing")
    with pytest.raises(ExecutionError, match="Give the collection_name"):
        create("operator", indexed, connect=True)


@pytest.fixture
def break_model(documented_models, monkeypatch):
    """``break_model(after)`` makes the model fail from the ``after``-th image on."""
    model = documented_models
    embed_all = type(model).embed_all

    def break_it(after: int) -> None:
        seen = []

        def failing(images):
            seen.extend(images)
            if len(seen) > after:
                raise RuntimeError("the model broke")
            return embed_all(model, images)

        monkeypatch.setattr(model, "embed_all", failing, raising=False)

    return break_it


MODEL = {"embeddings": None, "model": "clip-vit-base32-torch"}


def test_create_with_a_failing_model_leaves_nothing(indexed, nothing_lost, break_model):
    break_model(29)
    with pytest.raises(RuntimeError, match="the model broke"):
        create("library", indexed, skip_failures=False, **MODEL)


def test_create_with_a_model_that_never_works_leaves_nothing(
    indexed, nothing_lost, break_model
):
    """FiftyOne skips images that fail, by default: here these are all."""
    break_model(0)
    with pytest.raises(ExecutionError, match="Nothing to index: model") as caught:
        create("operator", indexed, **MODEL)
    check_sentence(caught.value)


def test_create_counts_images_on_which_the_model_fails(indexed, break_model):
    break_model(29)
    arguments = {"brain_key": "new", "model": MODEL["model"]}
    made = call("create_qdrant_index", indexed, **arguments)
    assert (made["points"], made["skipped"]) == (29, 11)


@both_doors
def test_create_that_fails_while_writing_leaves_nothing(
    door, indexed, nothing_lost, monkeypatch
):
    def write(*args):
        raise errors.EngineError("the disk broke")

    monkeypatch.setattr(writing, "write", write)
    with refused(door, errors.EngineError, "the disk broke"):
        create(door, indexed)


def test_interrupted_create_leaves_nothing(indexed, nothing_lost, monkeypatch):
    def write(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write", write)
    with pytest.raises(KeyboardInterrupt):
        create("library", indexed)


# --- places that are not there --------------------------------------------------


@both_doors
def test_unreachable_server(door, indexed, nothing_lost):
    url = f"http://127.0.0.1:{isolation.free_port()}"
    saying = f"Qdrant at {url} does not answer"
    with refused(door, errors.ConnectionFailed, saying) as caught:
        create(door, indexed, url=url)
    check_sentence(caught.value)


@pytest.fixture(params=[401, 403])
def locked_server(request):
    """The URL of a server that refuses every key."""

    class Refusal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(request.param)
            self.end_headers()
            self.wfile.write(b"Must provide an API key")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@both_doors
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_wrong_api_key(door, indexed, nothing_lost, locked_server, monkeypatch):
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_API_KEY", KEY)
    saying = "refused the API key.*_QDRANT_API_KEY"
    with refused(door, errors.AuthenticationFailed, saying) as caught:
        create(door, indexed, url=locked_server)
    check_sentence(caught.value)


@pytest.fixture
def unwritable(tmp_path):
    """A folder that may not be written, even by root."""
    if os.geteuid():
        folder = tmp_path / "read-only"
        folder.mkdir()
        folder.chmod(0o500)
        return folder
    if not Path("/proc/self").exists():
        pytest.skip("root may write anywhere here")
    return Path("/proc")


@both_doors
def test_store_that_cannot_be_written(door, indexed, nothing_lost, unwritable):
    saying = "the embedded store .*/store cannot be used"
    with refused(door, errors.StoreUnavailable, saying) as caught:
        create(door, indexed, path=str(unwritable / "store"))
    check_sentence(caught.value)


@both_doors
def test_store_path_that_is_a_file(door, indexed, nothing_lost, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with refused(door, errors.StoreUnavailable, "file is a file") as caught:
        create(door, indexed, path=str(path))
    check_sentence(caught.value)
    assert path.read_text() == "precious"


@both_doors
def test_store_path_with_other_files(door, indexed, nothing_lost, tmp_path):
    (tmp_path / "thesis.doc").write_text("precious")
    with refused(door, errors.StoreUnavailable, "other files in it") as caught:
        create(door, indexed, path=str(tmp_path))
    check_sentence(caught.value)
    assert os.listdir(tmp_path) == ["thesis.doc"]


@pytest.fixture(scope="module")
def without_packages(tmp_path_factory):
    """What a process says in which packages are missing."""
    code = """
import importlib.metadata as metadata

import numpy as np
import fiftyone.brain as fob
import fiftyone.core.utils as fou

given = metadata.Distribution.from_name
missing = {}


def from_name(name):
    if name.lower().replace("_", "-") in missing:
        raise metadata.PackageNotFoundError(name)
    return given(name)


metadata.Distribution.from_name = from_name
dataset = make_dataset(4)
said = {}
for package, module in (
    ("qdrant-edge-py", "qdrant_edge"), ("qdrant-client", "qdrant_client")
):
    missing = {package}
    hidden = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == module}
    sys.modules.update(dict.fromkeys([*hidden, module]))
    try:
        fob.compute_similarity(
            dataset, embeddings=np.eye(4), backend="qdrant", brain_key="new"
        )
    except Exception as e:
        said[package] = [str(e), [c.__name__ for c in type(e).__mro__]]
    sys.modules.pop(module)
    sys.modules.update(hidden)
runs = dataset.list_brain_runs()
missing = {}
index = fob.compute_similarity(dataset, embeddings=np.eye(4), backend="qdrant")
names = [c.name for c in index.client.get_collections().collections]
names = [n for n in names if fou.to_slug(dataset.name) in n]
answer({"said": said, "runs": runs, "collections": names})
index.cleanup()
dataset.delete()
"""
    return run_python(code, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("package", ["qdrant-edge-py", "qdrant-client"])
def test_missing_package_is_named(package, without_packages):
    said, classes = without_packages["said"][package]
    assert package in said
    assert {"ImportError", "QdrantPluginError"} & set(classes)
    first = said.strip().splitlines()[0]
    assert 15 < len(first) < 300


def test_missing_package_leaves_nothing(without_packages):
    assert without_packages["runs"] == []
    assert len(without_packages["collections"]) == 1  # the one made afterwards


# --- adding to, removing from and querying an index -----------------------------

ids_of_2 = [str(ObjectId()), str(ObjectId())]
ADDS = {
    "dimension": (VECTORS[:2, :63], ids_of_2, errors.CollectionMismatch, "63.*has 64"),
    "nan": (BAD_VALUE[:2], ids_of_2, errors.VectorError, "2 of 2 vectors have NaN"),
    "infinity": (
        np.full((2, 64), np.inf),
        ids_of_2,
        errors.VectorError,
        "NaN or infinite",
    ),
    "text": ([["a"] * 64] * 2, ids_of_2, errors.VectorError, "must be numbers"),
    "three-dimensional": (
        np.ones((2, 8, 8)),
        ids_of_2,
        errors.VectorError,
        r"shape \(num_points, size\)",
    ),
    "fewer-ids": (VECTORS[:2], ids_of_2[:1], errors.ConfigError, "2 embeddings but 1"),
    "id-is-text": (
        VECTORS[:2],
        ["a", "b"],
        errors.MissingIDs,
        "'a' is not a FiftyOne id",
    ),
    "id-is-number": (VECTORS[:2], [1, 2], errors.MissingIDs, "'1' is not a FiftyOne"),
}


@pytest.mark.parametrize("case", ADDS)
def test_add_to_index_refuses(case, indexed, nothing_lost):
    vectors, ids, error, saying = ADDS[case]
    index = indexed.load_brain_results("pixels")
    with pytest.raises(error, match=saying) as caught:
        index.add_to_index(vectors, ids)
    check_sentence(caught.value)


def test_add_to_index_refuses_existing_ids_where_told_to(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    ids = [indexed.first().id, str(ObjectId())]
    with pytest.raises(errors.ConfigError, match="already in the index") as caught:
        index.add_to_index(VECTORS[:2], ids, overwrite=False, allow_existing=False)
    check_sentence(caught.value)


QUERIES = {
    "dimension": (
        [1.0] * 63,
        errors.VectorError,
        "63 dimensions but the index has 64",
    ),
    "nan": ([float("nan")] * 64, errors.VectorError, "NaN or infinite"),
    "infinity": ([float("inf")] * 64, errors.VectorError, "NaN or infinite"),
    "unknown-id": (UNKNOWN_ID, errors.MissingIDs, f"{UNKNOWN_ID}.*not in the index"),
    "one-of-two-unknown": ([UNKNOWN_ID], errors.MissingIDs, UNKNOWN_ID),
    "text": ("a three", ValueError, "'a three'.*does not support prompts"),
}


@both_doors
@pytest.mark.parametrize("case", QUERIES)
def test_query_refuses(case, door, indexed, nothing_lost):
    query, error, saying = QUERIES[case]
    if case == "one-of-two-unknown":
        query = [indexed.first().id, *query]
    with refused(door, error, saying) as caught:
        if door == "operator":
            call("query_similar", indexed, brain_key="pixels", query=query, k=3)
        else:
            indexed.sort_by_similarity(query, k=3, brain_key="pixels")
    check_sentence(caught.value)


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_query_refuses_k(k, indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.ConfigError, match="k must be a whole number") as caught:
        index.search(indexed.first().id, k=k)
    check_sentence(caught.value)


def test_sample_id_is_no_query_for_patches(patches, client):
    create("operator", patches, "objects", patches_field="detections")
    before = snapshot(client)
    with pytest.raises(ExecutionError, match="not in the index") as caught:
        call("query_similar", patches, brain_key="objects", query=patches.first().id)
    check_sentence(caught.value)
    assert snapshot(client) == before


def test_label_ids_are_refused_by_an_index_of_samples(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.ConfigError, match="no label ids") as caught:
        index.get_embeddings(label_ids=[UNKNOWN_ID])
    check_sentence(caught.value)


def test_missing_ids_are_refused_where_told_to(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    ids = [indexed.first().id, UNKNOWN_ID]
    for method in (index.get_embeddings, index.remove_from_index):
        with pytest.raises(errors.MissingIDs, match=UNKNOWN_ID) as caught:
            method(sample_ids=ids, allow_missing=False)
        check_sentence(caught.value)


def test_removing_an_id_that_is_none_removes_nothing(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.MissingIDs, match="'nonsense' is not a FiftyOne id"):
        index.remove_from_index(sample_ids=[indexed.first().id, "nonsense"])


def test_remove_needs_ids(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.ConfigError, match="Give the sample_ids") as caught:
        index.remove_from_index()
    check_sentence(caught.value)


# --- selections and brain keys of the operators ---------------------------------

BY_SELECTION = ["add_selected_to_index", "remove_selected", "query_similar"]


@pytest.mark.parametrize("name", BY_SELECTION)
def test_nothing_selected_is_said(name, indexed, nothing_lost):
    with pytest.raises(ExecutionError, match=r"(?i)nothing is selected") as caught:
        call(name, indexed, brain_key="pixels")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", ["add_selected_to_index", "query_similar"])
def test_selection_of_an_unknown_sample_is_refused(name, indexed, nothing_lost):
    ctx = {"dataset": indexed, "selected": [indexed.first().id, UNKNOWN_ID]}
    with pytest.raises(ExecutionError, match=UNKNOWN_ID) as caught:
        call(name, ctx, brain_key="pixels")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", BY_SELECTION)
def test_selection_of_what_is_no_id_is_refused(name, indexed, nothing_lost):
    ctx = {"dataset": indexed, "selected": [indexed.first().id, "nonsense"]}
    with pytest.raises(ExecutionError) as caught:
        call(name, ctx, brain_key="pixels")
    check_sentence(caught.value)
    assert "fiftyone_qdrant.errors." in str(caught.value).splitlines()[-1]


@pytest.mark.parametrize("name", [*BY_SELECTION, "cleanup_collection"])
def test_unknown_brain_key_is_refused(name, indexed, nothing_lost):
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    with pytest.raises(ExecutionError, match="Qdrant index 'missing'") as caught:
        call(name, ctx, brain_key="missing")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", [*BY_SELECTION, "cleanup_collection"])
def test_index_of_another_backend_is_refused(name, indexed, client):
    fob.compute_similarity(
        indexed, embeddings="pixels", backend="sklearn", brain_key="other"
    )
    before = snapshot(client)
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    with pytest.raises(ExecutionError, match="Qdrant index 'other'") as caught:
        call(name, ctx, brain_key="other")
    check_sentence(caught.value)
    assert snapshot(client) == before


@pytest.mark.parametrize("name", [*BY_SELECTION, "cleanup_collection"])
def test_missing_brain_key_is_asked_for(name, indexed, nothing_lost):
    """A form's default is not applied to calls from Python."""
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    with pytest.raises(ExecutionError, match="brain_key") as caught:
        call(name, ctx, confirm="existing")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", BY_SELECTION)
def test_collection_that_is_gone_is_said(name, indexed, client):
    """Somebody deleted the collection: the run stays, and the error names it."""
    client.delete_collection("existing")
    before = snapshot(client)
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    if name == "add_selected_to_index":  # starts it anew
        assert call(name, ctx, brain_key="pixels")["points"] == 1
        return
    with pytest.raises(
        ExecutionError, match=r"collection 'existing'|'existing' does not"
    ) as caught:
        call(name, ctx, brain_key="pixels")
    check_sentence(caught.value)
    assert snapshot(client) == before
