"""What the form of Create Qdrant Index says is what creating the index then does."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.zoo as foz
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.ingest.ingest import create_index
from tests.plugin.calls import URI

N = 6
MODEL = "digits-prompt-model"


@pytest.fixture
def make(digits_model):
    """``make(ext, **fields)`` -> N samples whose files are missing, with fields."""
    made = []

    def of(ext="png", n=N, **fields):
        dataset = fo.Dataset()
        made.append(dataset)
        dataset.add_samples([fo.Sample(f"/nowhere/{i}.{ext}") for i in range(n)])
        for name, values in fields.items():
            dataset.set_values(name, values[:n], dynamic=True)
        return dataset

    yield of
    for dataset in made:
        dataset.delete()


def vectors(size=8, n=N):
    return list(np.random.default_rng(7).normal(size=(n, size)))


def broken(make, folder):
    dataset = make()
    for name in range(N):
        (folder / f"{name}.png").write_text("no image")
    dataset.set_values("filepath", [str(folder / f"{i}.png") for i in range(N)])
    return dataset


def pairs(make, folder):
    dataset = make(n=0)
    group = [fo.Group() for _ in range(N)]
    dataset.add_group_field("group", default="left")
    dataset.add_samples(
        [
            fo.Sample(f"{side}{i}.png", group=group[i].element(side), v=[1.0, i])
            for i in range(N)
            for side in ("left", "right")
        ]
    )
    return dataset


def empty(make, folder):
    dataset = make()
    dataset.add_sample_field("v", fo.VectorField)
    return dataset, {"embeddings": "v"}


def connected(make, folder, *, foreign):
    """A dataset, and a collection with that many points of something else."""
    dataset = make(v=vectors())
    made, _ = create_index(dataset, "old", embeddings="v")
    arguments = {"collection_name": made.collection.name, "connect": True}
    if foreign == N:
        return make(v=vectors()), arguments

    dataset.delete_samples(dataset.values("id")[:foreign])
    return dataset, arguments


def frames(make, folder):
    """A view of frames, which have a field of their own."""
    dataset = make("mp4")
    for sample, vector in zip(dataset, vectors(), strict=True):
        sample.frames[1] = fo.Frame(filepath="/nowhere/f.png", v=vector)
        sample.save()
    return dataset.to_frames(), {"embeddings": "v"}


def field(values, **more):
    return lambda make, folder: (make(v=values), {"embeddings": "v", **more})


def model(ext="png", **more):
    return lambda make, folder: (make(ext), {"model": MODEL, **more})


VECTORS = vectors()
HALF = [v if i % 2 else None for i, v in enumerate(VECTORS)]
NAN = [[1.0, float("nan")]] * N
REFUSED = {
    "no samples": (
        lambda make, folder: (make(n=0), {"model": MODEL}),
        "Nothing to index: this dataset has no samples",
    ),
    "no samples in a view": (
        lambda make, folder: (make().limit(0), {"model": MODEL}),
        "Nothing to index: this view has no samples",
    ),
    "no labels": (
        lambda make, folder: (
            make(things=[fo.Detections()] * N),
            {"model": MODEL, "patches_field": "things"},
        ),
        "this dataset has no patches of 'things'",
    ),
    "files missing": (model(), "none of the first 6 exists, such as /nowhere/0.png"),
    "no media": (model("pcd"), "Models of the zoo embed images and videos"),
    "no known media": (model("xyz"), "this is 'unknown'"),
    "no such model": (model(model="no-such"), "no-such"),
    "packages missing": (
        model(model="clip-vit-base32-torch"),
        "needs packages that are not installed here: pip install torch",
    ),
    "field is empty": (empty, "field 'v' gave no embeddings"),
    "field is gone": (field(vectors(), embeddings="w"), "no field 'w'"),
    "matrices": (field([np.ones((2, 3))] * N), "must have shape (num_points, size)"),
    "words": (field([["a", "b"]] * N), "must be real numbers"),
    "one string": (field(["ab"] * N), "must be real numbers"),
    "not finite": (field(NAN), "6 of 6 vectors have NaN or infinite values"),
    "of several sizes": (
        field([[1.0] * (1 + i // 4) for i in range(N)]),
        "2 of 6 vectors have another size than 1",
    ),
    "no place": (field(vectors(), path="/proc/nowhere"), "/proc/nowhere"),
    "a file as the place": (field(vectors(), path=__file__), "test_said_and_done"),
    "a foreign collection": (
        lambda make, folder: connected(make, folder, foreign=N),
        "none of the 6 points looked up",
    ),
}
SAID = {
    "half a field": (
        field(HALF),
        "3 of 6 samples have a value in 'v'",
        {"new": 3, "skipped": 3},
    ),
    "a list field": (
        field([list(map(float, v)) for v in vectors()]),
        "Up to 6 vectors of 8 dimensions",
        {"new": 6, "skipped": 0},
    ),
    "a nested field": (
        lambda make, folder: (
            make(
                deep=[
                    fo.DynamicEmbeddedDocument(v=list(map(float, v))) for v in VECTORS
                ]
            ),
            {"embeddings": "deep.v"},
        ),
        "Up to 6 vectors of 8 dimensions",
        {"new": 6, "skipped": 0},
    ),
    "a field of frames": (
        frames,
        "Up to 6 vectors of 8 dimensions",
        {"new": 6, "skipped": 0},
    ),
    "what the engine lacks": (
        field(vectors(), wal_config={"wal_capacity_mb": 64}, shard_number=2),
        "has no wal_config.wal_capacity_mb, shard_number: ignored here",
        {"new": 6, "skipped": 0},
    ),
    "a collection that is half foreign": (
        lambda make, folder: connected(make, folder, foreign=3),
        "3 of 6 points looked up are samples of this dataset",
        {"new": 0, "skipped": 0},
    ),
    "one slice": (
        lambda make, folder: (pairs(make, folder), {"embeddings": "v"}),
        "Only the active slice 'left': 6 of 12 samples",
        {"new": 6, "skipped": 0},
    ),
}


@pytest.fixture
def world(make, tmp_path):
    """``world(case)`` -> samples, arguments, and the form that has these."""

    def of(case):
        samples, arguments = case(make, tmp_path)
        request = {"dataset_name": samples._root_dataset.name}
        request["params"] = {"tab": "basic", "brain_key": "new", **arguments}
        if isinstance(samples, fo.DatasetView):
            request["view"] = samples._serialize()
        operator = foo.get_operator(URI + "create_qdrant_index")
        form = operator.resolve_input(ExecutionContext(request)).type
        return samples, arguments, form

    return of


def told(form):
    """All that a form says, of itself and at its fields."""
    marked = [p.error_message for p in form.properties.values() if p.invalid]
    shown = form.get_property("preflight").view.to_json()
    return [*marked, shown["label"], shown.get("description") or ""]


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_in_the_words_of_the_run(world, case):
    make_case, words = REFUSED[case]
    samples, arguments, form = world(make_case)
    with pytest.raises((QdrantPluginError, ValueError)) as caught:
        create_index(samples, "new", **arguments)

    refused = [p for p in form.properties.values() if p.invalid]
    assert refused, "the form could be sent"
    assert words in " ".join(told(form))
    assert words in str(caught.value)
    assert "new" not in samples._root_dataset.list_brain_runs()


@pytest.mark.parametrize("case", SAID)
def test_what_works_in_part_is_said_and_counted(world, case):
    make_case, words, done = SAID[case]
    samples, arguments, form = world(make_case)
    assert not [p for p in form.properties.values() if p.invalid]
    assert words in " ".join(told(form))
    _, ingested = create_index(samples, "new", **arguments)
    assert {name: getattr(ingested, name) for name in done} == done


def test_a_download_is_said_with_its_size(world, digit_images, monkeypatch):
    def case(make, folder):
        dataset = make()
        dataset.set_values("filepath", [str(p) for p in digit_images[:N]])
        return dataset, {"model": MODEL}

    monkeypatch.setattr("fiftyone.zoo.models._MODELS", {})  # nor is it in memory
    foz.delete_zoo_model(MODEL)
    samples, arguments, form = world(case)
    assert f"Downloads model '{MODEL}' first (150 kB)" in " ".join(told(form))
    create_index(samples, "new", **arguments)
    assert foz.is_zoo_model_downloaded(MODEL)
    _, _, form = world(case)
    assert "Downloads" not in " ".join(told(form))


@pytest.mark.parametrize(
    ("ext", "model", "words"),
    [
        ("mp4", "clip-vit-base32-torch", "embeds images, and these are videos"),
        ("png", "twelvelabs-marengo3.0", "embeds videos, and these are images"),
    ],
)
def test_a_model_of_another_medium_is_refused(world, monkeypatch, ext, model, words):
    monkeypatch.setattr(fo.config, "requirement_error_level", 2)
    samples, arguments, form = world(lambda make, _: (make(ext), {"model": model}))
    assert words in " ".join(told(form))
    with pytest.raises(QdrantPluginError, match=words):
        create_index(samples, "new", **arguments)


def test_files_that_are_no_images_are_a_warning_and_the_reason(world, make, tmp_path):
    samples, arguments, form = world(lambda *w: (broken(*w), {"model": MODEL}))
    words = "6 of the first 6 files are no images"
    assert form.get_property("preflight").view.to_json()["severity"] == "warning"
    assert words in " ".join(told(form))
    with pytest.raises(QdrantPluginError, match=words):
        create_index(samples, "new", **arguments)


def test_a_model_of_another_size_than_the_field_makes_nothing(world):
    case = field(vectors(), model=MODEL)
    samples, arguments, _ = world(case)
    with pytest.raises(
        QdrantPluginError, match=r"8 dimensions, and model .* makes 512"
    ):
        create_index(samples, "new", **arguments)

    assert samples.list_brain_runs() == []
