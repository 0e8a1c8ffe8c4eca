"""The form of Create Qdrant Index: what it offers, marks and hands on."""

from __future__ import annotations

import functools

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.operators as foo
import fiftyone.operators.types as types
import fiftyone.zoo as foz
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext, ExecutionError

from fiftyone_qdrant import plan_capacity
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.table import CLUSTER, GROUPS, QUANTIZATIONS, STORAGE
from tests.plugin.calls import URI, call, operator

READY = {"tab": "basic", "brain_key": "new", "embeddings": "pixels"}


@pytest.fixture
def form_of():
    """``form_of(dataset, **params)`` -> the fields of the form with these values."""

    def resolve(dataset, in_app=False, **params):
        request = {"dataset_name": dataset.name, "params": params}
        ctx = ExecutionContext(
            {**request, "prompt_id": "a form"} if in_app else request
        )
        return foo.get_operator(URI + "create_qdrant_index").resolve_input(ctx).type

    return resolve


@pytest.fixture
def form(dataset, form_of):
    """The same of a dataset of digits."""
    return functools.partial(form_of, dataset)


def field(inputs, path):
    *groups, name = path.split(".")
    for group in groups:
        inputs = inputs.get_property(group).type

    return inputs.get_property(name)


def card(inputs):
    return inputs.get_property("preflight").view.to_json()


def every_parameter():
    """Yields the path and params of each parameter that has a field, and itself."""
    for p in (*STORAGE, *CLUSTER):
        yield p.name, lambda v, n=p.name: {n: v}, p

    for group in GROUPS:
        for p in group.parameters:
            name = f"{group.name}.{p.name}"
            yield name, lambda v, g=group.name, n=p.name: {g: {n: v}}, p

    for kind, group in QUANTIZATIONS.items():
        for p in group.parameters:
            if len(p.choices) == 1:
                continue  # there is nothing to choose

            def quantized(v, kind=kind, n=p.name):
                return {
                    "quantization": kind,
                    "quantization_config": {kind: {n: v}},
                }

            yield f"quantization_config.{kind}.{p.name}", quantized, p


EVERY = list(every_parameter())
ADVANCED = {**READY, "tab": "advanced"}
SERVER = {"where": "server", "url": "http://qdrant.example"}


@pytest.mark.parametrize(
    ("path", "given", "parameter"), EVERY, ids=[path for path, _, _ in EVERY]
)
def test_what_the_run_refuses_is_marked_at_the_field(form, path, given, parameter):
    wrong = ["?"]
    if parameter.minimum is not None:
        wrong.append(parameter.minimum - 1)
    if parameter.maximum is not None:
        wrong.append(parameter.maximum + 1)

    for value in wrong:
        params = given(value)
        keywords = {k: v for k, v in params.items() if k != "quantization"}
        (sentence,) = CollectionParameters.problems(**keywords).values()
        shown = field(form(**ADVANCED, **SERVER, **params), path)
        assert shown.invalid
        assert shown.error_message == sentence
        told = form(**READY, **params).get_property("preflight")  # on another tab
        assert (told.invalid, told.error_message) == (True, sentence)


@pytest.mark.parametrize(
    ("path", "given", "parameter"), EVERY, ids=[path for path, _, _ in EVERY]
)
def test_what_the_engine_lacks_is_not_offered_and_is_named(
    form, path, given, parameter
):
    fine = parameter.default if parameter.default is not None else parameter.minimum
    inputs = form(in_app=True, **ADVANCED, **given(fine))
    keywords = {k: v for k, v in given(fine).items() if k != "quantization"}
    lacking = CollectionParameters.parse(**keywords).ignored_by("embedded")
    told = card(inputs)
    assert told["severity"] == ("warning" if lacking else "success")
    assert ("ignored here" in told["description"]) == bool(lacking)
    *groups, name = path.split(".")
    for group in groups:
        inputs = inputs.get_property(group) and inputs.get_property(group).type

    shown = inputs and inputs.get_property(name)
    assert bool(shown) == parameter.embedded


def test_a_rule_between_two_fields_is_marked(form):
    params = {"replication_factor": 1, "write_consistency_factor": 2}
    shown = form(**ADVANCED, **SERVER, **params)
    assert "no write could" in field(shown, "write_consistency_factor").error_message


def test_each_parameter_shows_its_label_default_and_advice(form):
    for path, given, p in EVERY:
        shown = field(form(**ADVANCED, **SERVER, **given(None)), path)
        assert p.advice in shown.view.description
        assert "Default: " in shown.view.description
        assert shown.view.label.endswith(f" ({p.name})")


def test_a_default_of_the_engine_is_told_in_words(form):
    path = "optimizers_config.indexing_threshold"
    here = field(form(**ADVANCED), path).view.description
    assert here.endswith("Default here: above 200,000 points")
    assert field(form(**ADVANCED, **SERVER), path).view.description.endswith("10,000")


def test_the_card_says_what_would_happen(form):
    shown = card(form(**READY))
    assert shown["severity"] == "success"
    assert shown["label"] == "Ready to create 'new'"
    assert "Up to 40 vectors of 64 dimensions, cosine" in shown["description"]
    assert "answers in" in shown["description"]


FIRST = {"tab": "basic", "where": "configured"}


@pytest.mark.parametrize("tab", ["basic", "advanced"])
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("embeddings", "Choose a field"),
        ("model", "Choose a model"),
        ("run", "Choose an index"),
        ("collection", "Choose a collection"),
    ],
)
def test_what_must_be_chosen_yet_is_asked_for_calmly(form, tab, source, words):
    inputs = form(**{**FIRST, "tab": tab}, source=source)
    told = inputs.get_property("preflight")
    assert (told.invalid, told.view.label) == (True, words)
    assert isinstance(told.view, types.Notice)
    assert [n for n, p in inputs.properties.items() if p.invalid] == ["preflight"]


def test_a_field_is_filled_in_and_a_key_proposed(form, dataset):
    inputs = form()
    assert field(inputs, "source").default == "embeddings"
    assert field(inputs, "embeddings").default == "pixels"
    sent = {**FIRST, "source": "embeddings", "embeddings": "pixels"}
    assert card(form(**sent))["label"] == "Ready to create 'pixels_sim'"
    assert field(form(**sent), "brain_key").view.placeholder == "pixels_sim"
    made = call("create_qdrant_index", dataset, **sent)
    assert made["brain_key"] == "pixels_sim"
    assert card(form(**sent))["label"] == "Ready to create 'pixels_sim_2'"


def test_the_one_other_index_is_filled_in(make_dataset, form_of):
    dataset = make_dataset(10)
    vectors = np.random.default_rng(1).normal(size=(10, 8))
    fob.compute_similarity(
        dataset, embeddings=vectors, backend="sklearn", brain_key="old"
    )
    inputs = form_of(dataset)
    assert field(inputs, "source").default == "run"
    assert field(inputs, "from_brain_key").default == "old"
    sent = {**FIRST, "source": "run", "from_brain_key": "old"}
    assert card(form_of(dataset, **sent))["label"] == "Ready to create 'old_qdrant'"


def test_a_model_that_can_be_used_is_filled_in(make_dataset, form_of, digits_model):
    dataset = make_dataset(10)
    foz.load_zoo_model(digits_model)  # downloads it
    inputs = form_of(dataset)
    assert field(inputs, "source").default == "model"
    assert field(inputs, "model").default == digits_model
    sent = {**FIRST, "source": "model", "model": "clip-vit-base32-torch"}
    key = field(form_of(dataset, **sent), "brain_key").view.placeholder
    assert key == "clip_vit_base32"


def test_all_slices_of_a_group_are_indexed_if_that_is_chosen(form_of, make_dataset):
    dataset = make_dataset(0)
    dataset.add_group_field("group", default="left")
    for i in range(3):
        group = fo.Group()
        dataset.add_samples(
            [
                fo.Sample(f"{side}{i}.png", group=group.element(side), v=[1.0, i])
                for side in ("left", "right")
            ]
        )
    sent = {**FIRST, "source": "embeddings", "embeddings": "v"}
    assert "'left': 3 of 6 samples" in card(form_of(dataset, **sent))["description"]
    sent["slices"] = "all"
    assert "Up to 6 vectors" in card(form_of(dataset, **sent))["description"]
    assert call("create_qdrant_index", dataset, **sent)["points"] == 6


def test_a_wrong_key_and_a_mismatch_are_marked(form, dataset):
    made = call("create_qdrant_index", dataset, brain_key="a", embeddings="pixels")
    wrong = {**READY, "brain_key": "a", "metric": "euclidean"}
    wrong["collection_name"] = made["collection_name"]
    assert "already" in field(form(**wrong), "brain_key").error_message
    shown = field(form(**{**wrong, "tab": "advanced"}), "collection_name")
    assert "exists with metric" in shown.error_message


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


def test_models_that_fit_are_offered_best_first_with_their_size(form):
    shown = form(source="model").get_property("model").view.choices
    names = [c.value for c in shown]
    assert names[0] == "clip-vit-base32-torch"
    assert shown[0].description == "text and images, recommended, 354 MB"
    assert "resnet50-imagenet-torch" in names
    assert "twelvelabs-marengo3.0" not in names  # of videos
    assert "rtdetr-v2-s-coco-torch" not in names  # finds objects
    texts = [c.description.startswith("text") for c in shown]
    assert texts == sorted(texts, reverse=True)


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


def test_what_an_index_will_take_in_the_end_is_said_and_not_set(form):
    said = card(form(**READY, expected=10_000_000))["description"]

    for preset in plan_capacity(10_000_000, 64):
        assert f"10,000,000 vectors: {preset}" in said

    assert form(**ADVANCED).get_property("expected") is not None
