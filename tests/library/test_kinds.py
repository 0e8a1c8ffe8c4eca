"""Every kind of data that FiftyOne indexes: patches, frames, groups, clones."""

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_qdrant.dataset import held
from fiftyone_qdrant.errors import ConfigError, MissingIDs
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.points import pairwise_distances
from fiftyone_qdrant.search import restriction, search
from tests.library.conftest import ONE_ENGINE

SIZE = 8
BOX = {"bounding_box": [0.1, 0.1, 0.5, 0.5]}
LINE = {"points": [[(0.1, 0.1), (0.5, 0.5)]]}
ONE_LABEL = {
    "Detection": lambda i: fo.Detection(label=str(i), **BOX),
    "Polyline": lambda i: fo.Polyline(label=str(i), **LINE),
}
MANY_LABELS = {
    "Detections": lambda n: fo.Detections(
        detections=[fo.Detection(label=str(i), **BOX) for i in range(n)]
    ),
    "Polylines": lambda n: fo.Polylines(
        polylines=[fo.Polyline(label=str(i), **LINE) for i in range(n)]
    ),
}


@pytest.fixture
def new_dataset():
    made = []

    def new(samples):
        dataset = fo.Dataset()
        dataset.add_samples(samples)
        made.append(dataset.name)
        return dataset

    yield new
    for name in made:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)


@pytest.fixture(params=[*ONE_LABEL, *MANY_LABELS])
def labelled(request, new_dataset):
    """A dataset whose "things" are of each label type; none on each third sample."""
    samples = []
    for i in range(30):
        sample = fo.Sample(f"{i}.png", number=i)
        if i % 3:
            many = MANY_LABELS.get(request.param)
            sample["things"] = many(i % 4) if many else ONE_LABEL[request.param](i)

        samples.append(sample)

    dataset = new_dataset(samples[::-1])
    return dataset.sort_by("number")._dataset


@pytest.fixture
def patches(labelled):
    """The ids of all labels and of their samples, row by row."""
    _, path = labelled._get_label_field_path("things", "id")
    labels, samples = [], []
    for sample_id, ids in zip(*labelled.values(["id", path]), strict=True):
        found = ids if isinstance(ids, list) else [ids] if ids else []
        labels.extend(found)
        samples.extend([sample_id] * len(found))

    return np.array(labels), np.array(samples)


@pytest.fixture
def vectors(rng, patches):
    return rng.normal(size=(len(patches[0]), SIZE)).astype(np.float32)


@pytest.fixture
def index(make_index, labelled, patches, vectors):
    index = make_index(
        labelled, patches_field="things", embeddings=False, metric="euclidean"
    )
    index.add_to_index(vectors, patches[1], patches[0])
    return index


def ranking(vectors, query, mask=None):
    order = np.argsort(pairwise_distances(query, vectors, "euclidean"), kind="stable")
    return order if mask is None else order[mask[order]]


def test_patches_are_found_with_their_samples(index, patches, vectors):
    order = ranking(vectors, vectors[5])
    (hits,) = index.search(str(patches[0][5]), k=6)
    assert hits.ids == list(patches[0][order[:6]])
    assert hits.sample_ids == list(patches[1][order[:6]])


@pytest.mark.parametrize("labelled", MANY_LABELS, indirect=True)
def test_a_view_of_patches_is_sorted(index, labelled, patches, vectors):
    order = ranking(vectors, vectors[5])
    view = labelled.to_patches("things").sort_by_similarity(
        str(patches[0][5]), k=6, brain_key="index", dist_field="dist"
    )
    assert view.values("id") == list(patches[0][order[:6]])
    expected = pairwise_distances(vectors[5], vectors, "euclidean")[order[:6]]
    np.testing.assert_allclose(view.values("dist"), expected, atol=1e-4)


def test_a_view_of_samples_shows_those_with_the_best_patches(
    index, labelled, patches, vectors
):
    order = ranking(vectors, vectors[5])
    view = labelled.sort_by_similarity(
        str(patches[0][5]), k=6, brain_key="index", dist_field="dist"
    )
    expected = list(dict.fromkeys(patches[1][order[:6]]))
    assert view.values("id") == expected
    _, path = labelled._get_label_field_path("things", "id")
    assert set(view.values(path, unwind=True)) == set(patches[0][order[:6]])
    _, path = labelled._get_label_field_path("things", "dist")
    found = [d for d in view.values(path, unwind=True) if d is not None]
    distances = pairwise_distances(vectors[5], vectors, "euclidean")
    np.testing.assert_allclose(sorted(found), distances[order[:6]], atol=1e-4)


@pytest.mark.parametrize("k", [4, None])
def test_hits_are_only_patches_of_the_view(index, labelled, patches, vectors, k):
    numbers = dict(zip(labelled.values("id"), labelled.values("number"), strict=True))
    mask = np.array([numbers[s] < 12 for s in patches[1]])
    order = ranking(vectors, vectors[-1], mask)
    views = [labelled.match(F("number") < 12)]
    if labelled.get_field("things").document_type in (fo.Detections, fo.Polylines):
        views.append(views[0].to_patches("things"))

    for view in views:
        with index.use_view(view):
            (hits,) = index.search(vectors[-1], k=k)

        assert hits.ids == list(patches[0][order[:k]])


def test_embeddings_of_patches_come_by_label_or_by_sample(index, patches, vectors):
    labels, samples = patches
    found, sample_ids, label_ids = index.get_embeddings(label_ids=labels[[7, 2, 7]])
    np.testing.assert_allclose(found, vectors[[7, 2, 7]], rtol=1e-6)
    assert list(sample_ids) == list(samples[[7, 2, 7]])
    assert list(label_ids) == list(labels[[7, 2, 7]])

    asked = list(dict.fromkeys(samples))[3:1:-1]
    found, sample_ids, label_ids = index.get_embeddings(sample_ids=asked)
    assert list(dict.fromkeys(sample_ids)) == asked
    rows = [list(labels).index(i) for i in label_ids]
    assert set(rows) == set(np.flatnonzero(np.isin(samples, asked)))
    np.testing.assert_allclose(found, vectors[rows], rtol=1e-6)

    found, _, label_ids = index.get_embeddings()
    assert set(label_ids) == set(labels)
    assert len(found) == len(labels)


def test_removing_a_sample_removes_all_its_patches(index, patches):
    labels, samples = patches
    index.remove_from_index(sample_ids=[samples[4]])
    assert set(index.label_ids) == set(labels[samples != samples[4]])
    index.remove_from_index(label_ids=list(index.label_ids[:2]))
    assert index.total_index_size == (samples != samples[4]).sum() - 2


@ONE_ENGINE
def test_patches_need_label_ids(index, patches, vectors):
    with pytest.raises(ConfigError, match="label_ids"):
        index.add_to_index(vectors[:2], patches[1][:2])


@ONE_ENGINE
def test_a_sample_is_no_query_for_patches(index, patches):
    with pytest.raises(MissingIDs, match="holds label ids"):
        index.search(str(patches[1][0]), k=3)


def test_embeddings_of_patches_are_taken_from_their_field(make_index, new_dataset, rng):
    vectors = rng.normal(size=(9, SIZE)).astype(np.float32)
    dataset = new_dataset(
        [
            fo.Sample(
                f"{i}.png",
                things=fo.Detections(
                    detections=[
                        fo.Detection(vector=vectors[3 * i + j], **BOX) for j in range(3)
                    ]
                ),
            )
            for i in range(3)
        ]
    )
    dataset.add_sample_field("things.detections.vector", fo.VectorField)
    index = make_index(dataset, patches_field="things", embeddings="vector")
    ids = dataset.values("things.detections.id", unwind=True)
    found, _, label_ids = index.get_embeddings(label_ids=ids)
    assert list(label_ids) == ids
    np.testing.assert_allclose(found, vectors, rtol=1e-5)


def test_regions_of_interest_give_one_point_per_sample(
    make_index, make_dataset, digits_model
):
    dataset = make_dataset(20, patches=True)
    index = make_index(dataset, roi_field="detections", model=digits_model)
    assert index.total_index_size == 20
    query = dataset.first().id
    found = dataset.sort_by_similarity(query, k=5, brain_key="index")
    assert found.first().id == query


def test_frames_of_a_video_are_indexed_one_by_one(make_index, new_dataset, rng):
    video = fo.Sample("video.mp4")
    for number in range(1, 21):
        video.frames[number] = fo.Frame(filepath=f"{number}.png")

    dataset = new_dataset([video])
    frames = dataset.to_frames()
    vectors = rng.normal(size=(20, SIZE)).astype(np.float32)
    make_index(frames, embeddings=vectors, metric="euclidean")
    ids = np.array(frames.values("id"))
    found = frames.sort_by_similarity(ids[7], k=5, brain_key="index")
    assert found.values("id") == list(ids[ranking(vectors, vectors[7])[:5]])

    part = frames.match(F("frame_number") > 10)
    mask = np.arange(1, 21) > 10
    found = part.sort_by_similarity(ids[7], k=5, brain_key="index")
    assert found.values("id") == list(ids[ranking(vectors, vectors[7], mask)[:5]])


@pytest.fixture
def groups(new_dataset):
    """Twenty groups of a left and a right sample."""
    samples = []
    for i in range(20):
        group = fo.Group()
        samples.extend(
            fo.Sample(f"{side}{i}.png", group=group.element(side), number=i)
            for side in ("left", "right")
        )

    return new_dataset(samples)


def test_one_slice_of_a_grouped_dataset_is_searched(make_index, groups, rng):
    left = groups.select_group_slices("left")
    vectors = rng.normal(size=(20, SIZE)).astype(np.float32)
    make_index(left, embeddings=vectors, metric="euclidean")
    ids = np.array(left.values("id"))
    found = left.sort_by_similarity(ids[3], k=5, brain_key="index")
    assert found.values("id") == list(ids[ranking(vectors, vectors[3])[:5]])


def test_all_slices_are_searched_together_or_one_alone(make_index, groups, rng):
    flat = groups.select_group_slices(_allow_mixed=True)
    vectors = rng.normal(size=(40, SIZE)).astype(np.float32)
    make_index(flat, embeddings=vectors, metric="euclidean")
    ids, sides = np.array(flat.values("id")), np.array(flat.values("group.name"))

    found = flat.sort_by_similarity(ids[3], k=7, brain_key="index")
    assert found.values("id") == list(ids[ranking(vectors, vectors[3])[:7]])

    right = groups.select_group_slices("right")
    found = right.sort_by_similarity(ids[3], k=7, brain_key="index")
    expected = ids[ranking(vectors, vectors[3], sides == "right")[:7]]
    assert found.values("id") == list(expected)


@pytest.fixture
def evaluated(new_dataset):
    """Samples of one truth and two predictions, the first of them right."""

    def detections(*left):
        boxes = [[x, 0.1, 0.2, 0.5] for x in left]
        found = [fo.Detection(label="a", bounding_box=box) for box in boxes]
        return fo.Detections(detections=found)

    dataset = new_dataset(
        [
            fo.Sample(
                f"{i}.png",
                number=i,
                things=detections(0.1),
                guesses=detections(0.1, 0.7),
            )
            for i in range(12)
        ]
    )
    dataset.evaluate_detections("guesses", gt_field="things", eval_key="eval")
    return dataset


@pytest.fixture
def videos(new_dataset):
    event = {"label": "a", "support": [1, 3]}
    return new_dataset(
        [
            fo.Sample(f"{i}.mp4", number=i, event=fo.TemporalDetection(**event))
            for i in range(12)
        ]
    )


@pytest.mark.parametrize("kind", ["patches", "evaluation patches", "clips"])
def test_samples_found_in_a_view_of_their_parts_are_shown_and_keep_distances(
    request, make_index, rng, kind
):
    dataset = request.getfixturevalue("videos" if kind == "clips" else "evaluated")
    vectors = rng.normal(size=(12, SIZE)).astype(np.float32)
    ids = np.array(dataset.values("id"))
    index = make_index(dataset, embeddings=vectors, metric="euclidean")
    part = dataset.match(F("number") < 8)
    view = {
        "patches": lambda: part.to_patches("things"),
        "evaluation patches": lambda: part.to_evaluation_patches("eval"),
        "clips": lambda: part.to_clips("event"),
    }[kind]()
    order = ranking(vectors, vectors[2], np.arange(12) < 8)[:5]
    expected = pairwise_distances(vectors[2], vectors, "euclidean")[order]
    with index.use_view(view):
        matches = find_similar(index, ids[2], k=5, dist_field="dist")
        index.sort_by_similarity(ids[2], k=5, dist_field="sorted")

    assert matches.ids == matches.view.values("id") == list(ids[order])
    for field in ("dist", "sorted"):
        found = dataset.select(ids[order], ordered=True).values(field)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_labels_found_among_evaluation_patches_are_shown_in_these(
    make_index, evaluated, rng
):
    labels = evaluated.values("guesses.detections.id", unwind=True)
    owners = np.repeat(evaluated.values("id"), 2)
    vectors = rng.normal(size=(24, SIZE)).astype(np.float32)
    index = make_index(
        evaluated, patches_field="guesses", embeddings=False, metric="euclidean"
    )
    index.add_to_index(vectors, owners, labels)
    with index.use_view(evaluated.to_evaluation_patches("eval")):
        matches = find_similar(index, labels[3], k=6)

    assert matches.ids == [labels[i] for i in ranking(vectors, vectors[3])[:6]]
    shown = matches.view.values("guesses.detections.id")
    assert shown == [[i] for i in matches.ids]


def test_a_view_that_takes_no_selection_is_read_once(
    make_index, videos, rng, monkeypatch
):
    monkeypatch.setattr(search, "_FIRST_PROBE", 2)
    monkeypatch.setattr(search, "_PROBES_PER_HIT", 1)
    monkeypatch.setattr(search.Search, "_ids_are_quicker", lambda *_: False)
    vectors = rng.normal(size=(12, SIZE)).astype(np.float32)
    index = make_index(videos, embeddings=vectors, metric="euclidean")
    ids, reads = np.array(videos.values("id")), []
    read = held.Held.ids

    def listen(*args):
        reads.append(args)
        return read(*args)

    monkeypatch.setattr(held.Held, "ids", listen)
    order = ranking(vectors, vectors[2])
    farthest = videos.select(ids[order[6:]])
    with index.use_view(farthest.to_clips("event")):
        (hits,) = index.search(vectors[2], k=2)

    assert hits.ids == list(ids[order[6:8]])
    assert len(reads) == 1


def test_few_samples_may_have_many_labels(make_index, evaluated, rng):
    labels = evaluated.values("guesses.detections.id", unwind=True)
    owners = np.repeat(evaluated.values("id"), 2)
    index = make_index(evaluated, patches_field="guesses", embeddings=False)
    index.add_to_index(rng.normal(size=(24, SIZE)), owners, labels)
    chosen = evaluated.select(list(owners[:4]))
    patches = evaluated.to_patches("guesses").select(labels[:4])
    for view, few in ((chosen, False), (patches, True)):
        with index.use_view(view):
            assert index.restriction().few is few


def test_a_view_that_was_small_may_grow(make_index, plain, rng, monkeypatch):
    vectors = rng.normal(size=(30, SIZE)).astype(np.float32)
    index = make_index(plain, embeddings=vectors, metric="euclidean")
    ids, order = np.array(plain.values("id")), ranking(vectors, vectors[3])
    monkeypatch.setattr(search, "_FIRST_PROBE", 2)
    monkeypatch.setattr(search, "_PROBES_PER_HIT", 1)
    view = plain.match(F("number") < 10)
    for most, few in ((10, True), (25, False), (10, True)):
        plain.set_values("number", np.where(np.arange(30) < most, 0, 20).tolist())
        with index.use_view(view), monkeypatch.context() as patch:
            patch.setattr(restriction, "_FEW_IDS", 12)
            (hits,) = index.search(vectors[3], k=8)
            assert index.restriction().few is few

        assert hits.ids == [ids[i] for i in order if i < most][:8]


@pytest.fixture
def plain(new_dataset):
    return new_dataset([fo.Sample(f"{i}.png", number=i) for i in range(30)])


def test_an_index_of_a_part_grows_to_the_whole(make_index, plain, rng):
    vectors = rng.normal(size=(30, SIZE)).astype(np.float32)
    ids = np.array(plain.values("id"))
    part = plain.match(F("number") < 10)
    index = make_index(part, embeddings=vectors[:10], metric="euclidean")
    index.add_to_index(vectors[10:], ids[10:])

    plain.clear_cache()
    found = plain.sort_by_similarity(ids[20], k=5, brain_key="index")
    assert found.values("id") == list(ids[ranking(vectors, vectors[20])[:5]])


def test_samples_added_later_are_no_hits_until_indexed(make_index, plain, rng):
    vectors = rng.normal(size=(31, SIZE)).astype(np.float32)
    index = make_index(plain, embeddings=vectors[:30], metric="euclidean")
    (new,) = plain.add_samples([fo.Sample("new.png")])
    (before,) = index.search(vectors[30], k=1)
    index.add_to_index(vectors[30:], [new])
    (after,) = index.search(vectors[30], k=1)
    assert before.ids != [new]
    assert after.ids == [new]


def test_a_clone_is_searched_on_its_own_and_cannot_destroy_the_index(
    make_index, plain, rng
):
    from fiftyone_qdrant.errors import CollectionShared

    vectors = rng.normal(size=(30, SIZE)).astype(np.float32)
    index = make_index(plain, embeddings=vectors, metric="euclidean")
    clone = plain.clone()
    try:
        ids = np.array(plain.values("id"))
        clone.delete_samples(list(ids[:10]))
        found = clone.sort_by_similarity(ids[3], k=5, brain_key="index")
        mask = np.arange(30) >= 10
        assert found.values("id") == list(ids[ranking(vectors, vectors[3], mask)[:5]])

        theirs = clone.load_brain_results("index")
        with pytest.raises(CollectionShared, match=f"dataset '{plain.name}'"):
            theirs.cleanup()

        assert index.total_index_size == 30
        with pytest.raises(CollectionShared, match=f"dataset '{clone.name}'"):
            index.cleanup()
    finally:
        clone.delete()

    index.cleanup()
    assert index.total_index_size == 0


def test_a_run_deleted_by_another_process_is_gone_after_reload(make_index, plain, rng):
    from fiftyone_qdrant.errors import IndexNotFound
    from fiftyone_qdrant.runs import list_indexes, load_index

    make_index(plain, embeddings=rng.normal(size=(30, SIZE)))
    assert list_indexes(plain) == ["index"]
    plain.delete_brain_run("index")
    with pytest.raises(IndexNotFound, match="has no Qdrant index 'index'"):
        load_index(plain, "index")
