"""The form of Create Qdrant Index: what it offers, marks and hands on."""

from __future__ import annotations

import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext, ExecutionError

from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.table import CLUSTER, GROUPS, QUANTIZATIONS, STORAGE
from tests.plugin.calls import URI, call, operator

READY = {"tab": "basic", "brain_key": "new", "embeddings": "pixels"}


@pytest.fixture
def form(dataset):
    """``form(**params)`` -> the fields of the form with these values."""

    def resolve(**params):
        request = {"dataset_name": dataset.name, "params": params}
        ctx = ExecutionContext(request)
        return foo.get_operator(URI + "create_qdrant_index").resolve_input(ctx).type

    return resolve


def field(inputs, path):
    *groups, name = path.split(".")
    for group in groups:
        inputs = inputs.get_property(group).type

    return inputs.get_property(name)


def card(inputs):
    return inputs.get_property("preflight").view.to_json()


def every_parameter():
    """Yields the tab, path and params of each parameter of the table, and itself."""
    for tab, own in (("storage", STORAGE), ("cluster", CLUSTER)):
        yield from ((tab, p.name, lambda v, n=p.name: {n: v}, p) for p in own)

    for group in GROUPS:
        for p in group.parameters:
            name = f"{group.name}.{p.name}"
            given = lambda v, g=group.name, n=p.name: {g: {n: v}}  # noqa: E731
            yield group.name, name, given, p

    for kind, group in QUANTIZATIONS.items():
        for p in group.parameters:

            def quantized(v, kind=kind, n=p.name):
                return {
                    "quantization": kind,
                    "quantization_config": {kind: {n: v}},
                }

            yield "storage", f"quantization_config.{kind}.{p.name}", quantized, p


EVERY = list(every_parameter())


@pytest.mark.parametrize(
    ("tab", "path", "given", "parameter"), EVERY, ids=[path for _, path, _, _ in EVERY]
)
def test_what_the_run_refuses_is_marked_at_the_field(form, tab, path, given, parameter):
    wrong = ["?"]
    if parameter.minimum is not None:
        wrong.append(parameter.minimum - 1)
    if parameter.maximum is not None:
        wrong.append(parameter.maximum + 1)

    for value in wrong:
        params = given(value)
        keywords = {k: v for k, v in params.items() if k != "quantization"}
        (sentence,) = CollectionParameters.problems(**keywords).values()
        shown = field(form(**{**READY, "tab": tab, **params}), path)
        assert shown.invalid
        assert shown.error_message == sentence
        told = form(**READY, **params).get_property("preflight")  # on another tab
        assert (told.invalid, told.error_message) == (True, sentence)

    fine = parameter.default if parameter.default is not None else parameter.minimum
    inputs = form(**{**READY, "tab": tab, **given(fine)})
    assert not field(inputs, path).invalid
    keywords = {k: v for k, v in given(fine).items() if k != "quantization"}
    lacking = CollectionParameters.parse(**keywords).ignored_by_embedded()
    told = card(inputs)
    assert told["severity"] == ("warning" if lacking else "success")
    assert ("ignored here" in told["description"]) == bool(lacking)


def test_a_rule_between_two_fields_is_marked(form):
    params = {"replication_factor": 1, "write_consistency_factor": 2}
    shown = form(**{**READY, "tab": "cluster", **params})
    assert "no write could" in field(shown, "write_consistency_factor").error_message


def test_each_parameter_shows_its_default_and_advice(form):
    for tab, path, given, p in EVERY:
        text = (
            field(form(tab=tab, **given(None)), path).type
            and field(form(tab=tab, **given(None)), path).view
        )
        assert p.advice in text.description
        assert "Default: " in text.description


def test_the_card_says_what_would_happen(form):
    shown = card(form(**READY))
    assert (shown["severity"], shown["label"]) == ("success", "Ready")
    assert "Up to 40 vectors of 64 dimensions, cosine" in shown["description"]
    assert "answers in" in shown["description"]


def test_nothing_is_wrong_with_an_empty_form(form):
    assert not form().get_property("preflight").invalid


def test_a_source_must_be_chosen(form):
    shown = form(tab="basic", brain_key="new", source="embeddings")
    assert "Give the embeddings field" in field(shown, "embeddings").error_message


def test_a_wrong_key_and_a_mismatch_are_marked(form, dataset):
    made = call("create_qdrant_index", dataset, brain_key="a", embeddings="pixels")
    name = made["collection_name"]
    shown = form(
        **{**READY, "brain_key": "a", "metric": "euclidean"}, collection_name=name
    )
    assert "already" in field(shown, "brain_key").error_message
    assert "exists with metric" in field(shown, "collection_name").error_message


def test_what_a_choice_hides_is_not_handed_on(dataset):
    fob.compute_similarity(
        dataset,
        embeddings=np.array(dataset.values("pixels")),
        backend="sklearn",
        brain_key="old",
        metric="euclidean",
    )
    made = call(
        "create_qdrant_index",
        dataset,
        tab="basic",
        source="run",
        from_brain_key="old",
        brain_key="new",
        model="typed-before",
        metric="cosine",
        where="configured",
        path="/nowhere",
    )
    assert made["points"] == 40
    assert made["taken_over"] == (
        "From 'old' (sklearn): its vectors, metric 'euclidean'"
    )
    assert dataset.load_brain_results("new").metric == "euclidean"


def test_only_similarity_runs_are_offered(form, dataset):
    points = np.zeros((40, 2))
    fob.compute_visualization(dataset, points=points, brain_key="picture")
    call("create_qdrant_index", dataset, brain_key="a", embeddings="pixels")
    shown = form(source="run").get_property("from_brain_key")
    assert [c.label for c in shown.view.choices] == ["a (qdrant)"]


def test_collections_are_offered_with_who_uses_them(form, dataset):
    made = call("create_qdrant_index", dataset, brain_key="a", embeddings="pixels")
    shown = form(source="collection").get_property("collection_name")
    (choice,) = shown.view.choices
    assert choice.value == made["collection_name"]
    assert choice.description == f"Used by 'a' of dataset '{dataset.name}'"


def test_models_are_offered_by_name(form, monkeypatch):
    shown = form(source="model").get_property("model").view
    assert "clip-vit-base32-torch" in [c.value for c in shown.choices]
    assert len(shown.choices) > 50


def test_allowed_models_are_the_only_ones(dataset, monkeypatch):
    monkeypatch.setenv("FIFTYONE_ZOO_ALLOWED_MODEL_NAMES", "a-model, b-model")
    with pytest.raises(ExecutionError, match="'clip-vit-base32-torch' is none of"):
        call(
            "create_qdrant_index", dataset, brain_key="a", model="clip-vit-base32-torch"
        )


def test_a_server_is_asked_only_when_the_url_is_complete(form, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "fiftyone_qdrant.ingest.preflight.engine_status",
        lambda place: asked.append(place),
    )
    shown = form(**READY, where="server", url="http://qdrant.exam")
    assert card(shown)["severity"] == "warning"
    assert "Not connected to http://qdrant.exam yet" in card(shown)["description"]
    assert asked == []


def test_a_dry_run_tells_without_doing(dataset, client):
    create = operator("create_qdrant_index")
    told = create(dataset, "new", embeddings="pixels", dry_run=True).result
    assert (told["ok"], told["vectors"], told["size"]) == (True, 40, 64)
    told = create(dataset, "my key", embeddings="pixels", dry_run=True).result
    assert told["problems"][0]["where"] == "brain_key"
    assert dataset.list_brain_runs() == []
    assert client.get_collections().collections == []
