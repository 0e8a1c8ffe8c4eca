"""Queries by a picture that is not in the dataset."""

import base64

import fiftyone as fo
import fiftyone.core.models as fom
import numpy as np
import pytest
from PIL import Image

from fiftyone_qdrant.errors import ConfigError

# Embedding is the same on all engines
pytestmark = pytest.mark.parametrize("place", ["embedded"], indirect=True)

FORMS = {
    "path": lambda path: path,
    "text of a path": str,
    "bytes": lambda path: path.read_bytes(),
    "base64": lambda path: base64.b64encode(path.read_bytes()).decode(),
    "upload": lambda path: {
        "name": path.name,
        "content": base64.b64encode(path.read_bytes()).decode(),
    },
}


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(60)


@pytest.fixture
def index(make_index, dataset, digits_model):
    return make_index(dataset, model=digits_model)


@pytest.fixture
def colored(tmp_path, rng):
    """A picture whose channels differ, so that their order counts."""
    path = tmp_path / "colored.png"
    Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def one_sample(colored):
    """A dataset of this picture alone."""
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(str(colored)))
    yield dataset
    dataset.delete()


def test_an_image_is_embedded_as_those_of_samples(make_index, one_sample, digits_model):
    index = make_index(one_sample, model=digits_model)
    (hits,) = index.search(image=one_sample.first().filepath)
    assert hits.ids == [one_sample.first().id]
    assert hits.distances == pytest.approx([0], abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_finds_the_sample_that_shows_it(index, dataset, digit_images, form):
    (hits,) = index.search(image=FORMS[form](digit_images[7]), k=3)
    (by_id,) = index.search(dataset.values("id")[7], k=3)
    assert hits.ids == by_id.ids
    np.testing.assert_allclose(hits.distances, by_id.distances, atol=1e-5)


def test_a_torch_model_gets_what_fiftyones_data_loader_gives_it(
    index, documented_models, colored, monkeypatch
):
    class TorchModel(type(documented_models), fom.TorchModelMixin):
        given = None

        def embed(self, arg):
            self.given = arg
            return super().embed(arg)

    monkeypatch.setattr(documented_models, "__class__", TorchModel)
    index.search(image=colored, k=1)
    assert isinstance(documented_models.given, Image.Image)
    np.testing.assert_array_equal(documented_models.given, Image.open(colored))


def test_an_image_takes_negatives_and_a_view(index, dataset, digit_images):
    ids = dataset.values("id")
    with index.use_view(dataset[:40]):
        (hits,) = index.search(image=digit_images[7], k=5, negatives=ids[8])
        vector = index.get_embeddings(ids[7])[0]
        (expected,) = index.search(vector, k=5, negatives=ids[8])

    assert hits.ids == expected.ids
    assert ids[8] not in hits.ids


def test_an_image_is_one_patch(make_index, make_dataset, digits_model, digit_images):
    scenes = make_dataset(10, patches=True)
    index = make_index(scenes, model=digits_model, patches_field="detections")
    (hits,) = index.search(image=digit_images[1], k=1)
    labels = scenes.values("detections.detections.id", unwind=True)
    names = scenes.values("detections.detections.label", unwind=True)
    assert names[labels.index(hits.ids[0])] == "1"
    assert hits.distances[0] == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize(
    "image",
    [b"no picture", b"", "no/such/file.png", {"content": "bm8gcGljdHVyZQ=="}, {}, 7],
    ids=str,
)
def test_what_is_no_image_is_said(index, image):
    with pytest.raises(ConfigError, match="not an image that can be read"):
        index.search(image=image, k=3)


def test_an_image_of_too_many_pixels_is_said(
    index, documented_models, colored, monkeypatch
):
    class TorchModel(type(documented_models), fom.TorchModelMixin):
        pass

    monkeypatch.setattr(documented_models, "__class__", TorchModel)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ConfigError, match="far too many pixels"):
        index.search(image=colored, k=3)


def test_an_index_without_a_model_takes_no_image(make_index, dataset, digit_images):
    vectors = np.eye(60, 8, dtype=np.float32) + 1
    index = make_index(dataset, embeddings=vectors)
    with pytest.raises(ConfigError, match="no model to embed the image with"):
        index.search(image=digit_images[0], k=3)


def test_a_query_and_an_image_are_too_much(index, dataset, digit_images):
    with pytest.raises(ConfigError, match="not both"):
        index.search(dataset.first().id, k=3, image=digit_images[0])
