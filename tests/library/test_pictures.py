"""Pictures that changed on disk since a model embedded them are found, and mended."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fiftyone_qdrant import create_index, find_drift, load_index, sync
from fiftyone_qdrant.ingest import in_step, pictures
from fiftyone_qdrant.ingest.in_step import attend
from fiftyone_qdrant.ingest.pictures import compare_some, in_words

N = 12


@pytest.fixture
def dataset(make_dataset, tmp_path):
    """Digits whose pictures are copies, which a test may change."""
    dataset = make_dataset(N)
    copies = [shutil.copy(p, tmp_path) for p in dataset.values("filepath")]
    dataset.set_values("filepath", copies)
    return dataset


@pytest.fixture
def index(dataset, digits_model):
    index, _ = create_index(dataset, "index", model=digits_model)
    yield index
    load_index(dataset, "index").collection.drop()


def paint(dataset, *numbers):
    """Draws other pictures in place of some; returns the ids of their samples."""
    ids, paths = dataset.values(["id", "filepath"])
    for n in numbers:
        image = Image.open(paths[n])
        Image.fromarray(255 - np.asarray(image)).save(paths[n])
        os.utime(paths[n], (n, n))  # another time, however coarse the clock

    return {ids[n] for n in numbers}


def test_another_picture_in_place_is_found_and_embedded_again(dataset, index):
    assert find_drift(index, dataset).changed == []
    changed = paint(dataset, 2, 5)
    before = index.contents.vectors(sorted(changed))
    assert set(find_drift(index, dataset).changed) == changed
    _, done = sync(index, dataset)
    assert done.replaced == 2
    assert (index.contents.vectors(sorted(changed)) != before).any()
    assert find_drift(index, dataset).changed == []


def test_ids_alone_are_compared_where_that_is_asked_for(dataset, index):
    paint(dataset, 1)
    drift = find_drift(index, dataset, vectors=False)
    assert (drift.changed, drift.compared) == ([], False)


def test_a_picture_that_is_gone_is_counted_and_keeps_its_vector(dataset, index):
    os.remove(dataset.first().filepath)
    assert find_drift(index, dataset).changed == []
    assert compare_some(index, None).gone == 1


def test_given_vectors_tell_of_no_file(dataset, index):
    one = dataset.first().id
    index.add_to_index(index.contents.vectors([one]), [one])
    paint(dataset, 0)
    found = compare_some(index, None)
    assert (found.looked, found.unknown, found.changed) == (N - 1, 1, 0)


@pytest.mark.parametrize("seconds", [1.5, 0])  # a page is read at least
def test_slices_go_on_where_the_last_one_stopped(dataset, index, monkeypatch, seconds):
    monkeypatch.setattr("fiftyone_qdrant.qdrant.reads.IDS_PER_CALL", 5)
    paint(dataset, 0, N - 1)
    clock = iter(range(1000))
    time = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr(pictures, "time", time)
    rounds = [compare_some(index, seconds)]
    while not rounds[-1].through:
        rounds.append(compare_some(index, seconds))

    assert [r.looked for r in rounds] == [5, 10, N]
    assert rounds[-1].changed == 2
    assert compare_some(index, seconds) == rounds[-1]  # for an hour
    assert in_words(index) == f"{N} of {N} pictures on disk compared"


def test_what_changed_is_noticed_beside_what_was_written(dataset, index, monkeypatch):
    monkeypatch.setattr(in_step, "QUIET", 0)
    assert attend(index).in_step
    paint(dataset, 3)
    compare_some(index, None)
    assert attend(index).words == "1 with another file"
    sync(index, dataset)
    assert attend(index).in_step


def test_the_patches_of_a_picture_change_with_it(make_dataset, digits_model, tmp_path):
    dataset = make_dataset(3, patches=True)
    copies = [shutil.copy(p, tmp_path) for p in dataset.values("filepath")]
    dataset.set_values("filepath", copies)
    index, _ = create_index(
        dataset, "index", model=digits_model, patches_field="detections"
    )
    paint(dataset, 1)
    expected = dataset.values("detections.detections.id")[1]
    assert set(find_drift(index, dataset).changed) == set(expected)
    index.collection.drop()
