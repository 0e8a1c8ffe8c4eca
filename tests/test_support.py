"""The support for tests does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest


def test_home_and_database_are_not_the_users(dataset):
    import fiftyone as fo

    assert Path.home().is_relative_to("/tmp")
    assert fo.config.database_uri == os.environ["FIFTYONE_DATABASE_URI"]
    for folder in (fo.config.model_zoo_dir, fo.config.plugins_dir):
        assert Path(folder).is_relative_to("/tmp")


def test_dataset_shows_the_digits_it_is_labelled_with(dataset, digits):
    assert dataset.values("ground_truth.label") == list(digits.labels[:200])
    for path, label in zip(
        dataset.values("filepath"), digits.labels[:200], strict=True
    ):
        assert Path(path).stem.endswith(f"-{label}")


def test_scenes_have_one_to_four_detections_or_none(make_dataset):
    dataset = make_dataset(20, patches=True)
    counts = [len(labels or []) for labels in dataset.values("detections.detections")]
    assert counts == [0, 1, 2, 3, 4] * 4
    assert len(dataset.exists("detections", False)) == 2
    first = dataset.values("detections.detections.label")[1]
    assert first == [dataset.values("ground_truth.label")[1]]


def test_random_numbers_are_those_of_the_test_and_the_seed(rng, request):
    seed = int(os.environ.get("FQ_TEST_SEED", "20251101"))
    own = [seed, zlib.crc32(request.node.nodeid.encode())]
    assert rng.integers(1 << 30) == np.random.default_rng(own).integers(1 << 30)


def test_without_chromium_the_browser_tests_are_counted(tmp_path):
    """Not an error, and each test that opens one is among them."""
    environment = {**os.environ, "PATH": str(tmp_path)}
    environment.pop("CI", None)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n0",
            "-q",
            "--collect-only",
            "tests/browser",
        ],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "tests marked 'browser' were not run: no Chromium" in done.stdout
    assert "no tests collected" in done.stdout, done.stdout[-2000:]


def test_digits_model_embeds_images_and_prompts(make_dataset, digits_model):
    import fiftyone.zoo as foz

    dataset = make_dataset(400)
    model = foz.load_zoo_model(digits_model)
    embeddings = dataset.compute_embeddings(model)
    assert embeddings.shape == (400, 512)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    batched = dataset.compute_embeddings(model, batch_size=16)
    np.testing.assert_allclose(batched, embeddings, atol=1e-6)

    labels = np.array(dataset.values("ground_truth.label"))
    for prompt, digit in [("a photo of a three", "3"), ("7", "7"), ("zeros", "0")]:
        nearest = np.argsort(-embeddings @ model.embed_prompt(prompt))[:10]
        assert np.mean(labels[nearest] == digit) >= 0.8
    dog = model.embed_prompts(["a dog", "a dog", "a cat"])
    assert dog.shape == (3, 512)
    assert np.array_equal(dog[0], dog[1])
    assert abs(dog[0] @ dog[2]) < 0.2


def test_digits_model_embeds_patches(make_dataset, digits_model):
    import fiftyone.zoo as foz

    dataset = make_dataset(10, patches=True)
    model = foz.load_zoo_model(digits_model)
    patches = dataset.compute_patch_embeddings(model, "detections")
    shapes = [None if v is None else v.shape for v in patches.values()]
    assert shapes[:5] == [None, (1, 512), (2, 512), (3, 512), (4, 512)]


def test_digits_model_serves_compute_similarity(make_dataset, digits_model):
    import fiftyone.brain as fob

    dataset = make_dataset(100)
    fob.compute_similarity(
        dataset, model=digits_model, backend="sklearn", brain_key="by_model"
    )
    view = dataset.sort_by_similarity("a photo of a six", k=5, brain_key="by_model")
    assert view.values("ground_truth.label").count("6") >= 4


def test_digits_model_loads_in_another_process(digits_model):
    code = (
        "import fiftyone.zoo as foz, sys;"
        "assert 'torch' not in sys.modules;"
        f"print(foz.load_zoo_model({digits_model!r}).embed_prompt('2').shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd="/tmp",
        check=True,
    )
    assert done.stdout.split("\n")[-2] == "(512,)"


def test_documented_names_load_without_torch(documented_models, quickstart):
    import fiftyone.brain as fob
    import fiftyone.zoo as foz

    dataset = foz.load_zoo_dataset("quickstart")
    assert len(dataset) == 60
    assert dataset.count("ground_truth.detections") == 120
    for name in ("clip-vit-base32-torch", "mobilenet-v2-imagenet-torch"):
        assert foz.load_zoo_model(name) is documented_models
    index = fob.compute_similarity(dataset, backend="sklearn", brain_key="default")
    assert index.total_index_size == 60


@pytest.mark.parametrize("write", [True, False])
def test_store_paths_are_fresh_and_short(store_path, write):
    assert not store_path.exists()
    assert len(str(store_path)) < 40
    if write:
        store_path.mkdir()
