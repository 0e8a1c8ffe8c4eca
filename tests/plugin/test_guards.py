"""What every operator keeps to: no secret is stored, a dry run writes nothing."""

from __future__ import annotations

import inspect
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo_odm
import fiftyone.operators as foo
import numpy as np
import pytest
import yaml
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.qdrant.connection import ENVIRONMENT
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import URI, call, database, operator

MANIFEST = Path(__file__).parents[2] / "fiftyone.yml"
OPERATORS = yaml.safe_load(MANIFEST.read_text())["operators"]
DRY_RUNS = {  # what would change something if it were not one
    "create_qdrant_index": {"brain_key": "new", "embeddings": "pixels"},
    "sync_index": {},
    "tune_index": {"hnsw_config": {"m": 8}},
    "cleanup_collection": {"confirm": "the collection"},
}
SECRET = "s3cret-key"


@pytest.fixture
def drifted(indexed):
    """The dataset, with an index that lacks five samples and holds one too many."""
    load_index(indexed, "pixels").remove_from_index(indexed.values("id")[:5])
    indexed.delete_samples(indexed.values("id")[10])
    return indexed


def everything(client):
    """All that is in the database and in the store, but for who looked at it when."""
    db = foo_odm.get_db_conn()
    kept = {}
    for name in db.list_collection_names():
        documents = list(db[name].find())
        for document in documents:
            document.pop("last_loaded_at", None)
        kept[name] = sorted(map(str, documents))

    kept = {name: documents for name, documents in kept.items() if documents}
    for collection in client.get_collections().collections:
        name = collection.name
        points, _ = client.scroll(name, limit=1000, with_vectors=True)
        told = [(p.id, p.payload, np.asarray(p.vector).tolist()) for p in points]
        kept[name] = client.get_collection(name).model_dump(), told

    return kept


def has_dry_run(name):
    found = operator(name)
    if not callable(found):  # what only the App calls
        return False

    return "dry_run" in inspect.signature(found).parameters


def test_every_operator_with_a_dry_run_is_tried():
    assert set(filter(has_dry_run, OPERATORS)) == set(DRY_RUNS)


@pytest.mark.parametrize("name", DRY_RUNS)
def test_a_dry_run_writes_nothing(drifted, client, name):
    index = load_index(drifted, "pixels")
    params = {"brain_key": "pixels", **DRY_RUNS[name]}
    if "confirm" in params:
        params["confirm"] = index.config.collection_name
    before = everything(client)
    call(name, drifted, **params, dry_run=True)
    assert everything(client) == before
    call(name, drifted, **params)  # else there was nothing to be written
    assert everything(client) != before


@pytest.mark.parametrize(
    "secret", [{"api_key": SECRET}, {"url": f"http://me:{SECRET}@h:1"}], ids=str
)
@pytest.mark.parametrize("delegated", [True, False])
def test_a_secret_among_the_params_is_refused_by_every_operator(
    indexed, secret, delegated
):
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    for name in OPERATORS:
        params = {"brain_key": "pixels", **secret}
        with pytest.raises(ExecutionError, match="Do not give"):
            foo.execute_operator(
                URI + name, ctx, params=params, request_delegation=delegated
            )
    assert SECRET not in database()
    assert DelegatedOperationService().list_operations() == []


def test_a_secret_of_the_plugin_needs_no_environment(indexed, monkeypatch):
    """It is what a FiftyOne server keeps secrets in, its workers' environment aside."""
    from fiftyone.operators.executor import ExecutionContext

    secrets = {ENVIRONMENT["api_key"]: SECRET, ENVIRONMENT["url"]: "https://h"}
    for name in secrets:
        monkeypatch.delenv(name, raising=False)
    module = inspect.getmodule(type(operator("query_similar")).__mro__[1])
    ctx = ExecutionContext(request_params={"dataset_name": indexed.name, "params": {}})
    monkeypatch.setattr(ExecutionContext, "secrets", secrets)
    given = module.connection_keywords(ctx)
    assert (given["api_key"], given["url"]) == (SECRET, "https://h")


# --- what Add Selected and Remove Selected may mean -------------------------------


def test_the_dataset_as_target_of_a_view_must_be_confirmed(indexed):
    for target in ("DATASET", "BASE_VIEW"):
        for confirm in (None, 1, "true"):
            ctx = {"view": indexed[:3]}
            with pytest.raises(ExecutionError, match="confirm"):
                call(
                    "remove_selected",
                    ctx,
                    brain_key="pixels",
                    view_target=target,
                    **({} if confirm is None else {"confirm": confirm}),
                )
    assert load_index(indexed, "pixels").total_index_size == 40


def test_the_view_as_target_comes_before_the_selection(indexed):
    ctx = {"view": indexed[:3], "selected": indexed.values("id")[:1]}
    told = call("remove_selected", ctx, brain_key="pixels", view_target="CURRENT_VIEW")
    assert told["removed"] == 3


def test_labels_of_another_field_are_not_removed(indexed_patches):
    sample = indexed_patches.match(
        fo.ViewField("detections.detections").length() > 1
    ).first()
    own, other = (label.id for label in sample.detections.detections[:2])
    selected = [
        {"label_id": own, "field": "detections", "sample_id": sample.id},
        {"label_id": other, "field": "other", "sample_id": sample.id},
    ]
    ctx = {"dataset": indexed_patches, "selected_labels": selected}
    told = call("remove_selected", ctx, brain_key="objects")
    assert told["removed"] == 1
    assert other in load_index(indexed_patches, "objects").label_ids


def test_selected_patches_stand_for_their_samples(indexed_patches, digits):
    vectors = list(digits.vectors[: len(indexed_patches)])
    indexed_patches.set_values("whole", vectors)
    call("create_qdrant_index", indexed_patches, brain_key="whole", embeddings="whole")
    view = indexed_patches.to_patches("detections")
    ctx = {"view": view, "selected": view.values("id")[:3]}
    samples = len(set(view.values("sample_id")[:3]))
    told = call("remove_selected", ctx, brain_key="whole")
    assert (told["removed"], told["points"]) == (samples, 20 - samples)
