"""Which labels disagree with their neighbors; changing them, and undoing that."""

import fiftyone as fo
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fiftyone_qdrant import audit_labels
from fiftyone_qdrant.curate.relabelling import (
    add_tag,
    change_labels,
    plan_labels,
    remove_tag,
)
from fiftyone_qdrant.errors import ConfigError, IndexNotFound, MissingIDs

CORNERS = np.eye(4, dtype=np.float32)


@pytest.fixture
def place(monkeypatch):
    """What is worked out from the points is the same whoever holds them."""
    from tests.library.conftest import put_on

    return put_on("embedded", monkeypatch)


def classified(labels):
    """A dataset whose samples have Classifications, or none."""
    dataset = fo.Dataset()
    dataset.add_sample_field(
        "truth", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification
    )
    dataset.add_samples(
        [
            fo.Sample(f"{i}.png", truth=label and fo.Classification(label=label))
            for i, label in enumerate(labels)
        ]
    )
    return dataset


def around(rng, corners):
    """A vector near each corner, by number."""
    return CORNERS[corners] + 0.05 * rng.normal(size=(len(corners), 4))


@pytest.fixture
def two_classes(rng, make_index):
    """20 cats, the first called a dog, and 20 dogs, the last without a label."""
    labels = ["dog"] + ["cat"] * 19 + ["dog"] * 19 + [None]
    dataset = classified(labels)
    make_index(dataset, embeddings=around(rng, [0] * 20 + [1] * 20))
    return dataset


def test_flipped_digits_come_first_and_get_their_label_back(
    make_dataset, make_index, digits, rng
):
    dataset = make_dataset(len(digits.labels))
    flipped = rng.choice(len(digits.labels), len(digits.labels) // 20, replace=False)
    given = digits.labels.astype(int)
    given[flipped] = (given[flipped] + rng.integers(1, 10, len(flipped))) % 10
    dataset.set_values("ground_truth.label", given.astype(str).tolist())
    make_index(dataset, embeddings=digits.vectors)

    audit = audit_labels(dataset, "index", "ground_truth")

    ids = dataset.values("id")
    wrong = {ids[row]: digits.labels[row] for row in flipped}
    was = [i in wrong for i in audit.ids]
    said = dict(zip(audit.ids, audit.suggestions, strict=True))
    assert roc_auc_score(was, audit.scores) >= 0.99
    assert np.mean(was[: len(wrong)]) >= 0.93
    assert np.mean([said[i] == label for i, label in wrong.items()]) >= 0.95


def test_a_wrong_label_is_certain_and_gets_the_other_one(two_classes):
    audit = audit_labels(two_classes, "index", "truth")
    assert (audit.ids[0], audit.labels[0], audit.suggestions[0]) == (
        two_classes.first().id,
        "dog",
        "cat",
    )
    assert audit.scores[0] == audit.shares[0] == 1
    assert audit.doubtful == 1


def test_what_has_no_label_gets_a_suggestion(two_classes):
    audit = audit_labels(two_classes, "index", "truth")
    assert audit.new_ids == [two_classes.last().id]
    assert audit.new_suggestions == ["dog"]
    assert audit.new_shares == [1]


def test_the_matrix_counts_what_its_cells_list(two_classes):
    audit = audit_labels(two_classes, "index", "truth")
    assert audit.classes == ["cat", "dog"]
    assert audit.matrix.tolist() == [[19, 0], [1, 19]]
    assert audit.cell("dog", "cat") == audit.ids[:1]


def test_the_neighbors_are_the_nearest_labelled_others(two_classes, rng):
    audit = audit_labels(two_classes, "index", "truth", k=5)
    ids, vectors = two_classes.values("id"), {}
    index = two_classes.load_brain_results("index")
    found, sample_ids, _ = index.get_embeddings()
    vectors = dict(zip(sample_ids, found, strict=True))
    for i in (ids[3], ids[-1]):  # one that has a label, and the one that has not
        units = {j: v / np.linalg.norm(v) for j, v in vectors.items()}
        far = {j: 1 - units[i] @ units[j] for j in ids[:-1]}
        far = {j: d for j, d in far.items() if d > audit.twins}
        nearest, labels, distances = audit.neighbors_of(i)
        assert nearest == sorted(far, key=far.get)[:5]
        assert labels == two_classes.select(nearest, ordered=True).values("truth.label")
        np.testing.assert_allclose(distances, [far[j] for j in nearest], atol=1e-5)


def test_twins_do_not_vote_for_each_other(rng, make_index):
    """Ten copies of one wrong label would outvote what is around them."""
    vectors = around(rng, [0] * 40)
    vectors[:10] = vectors[0]
    dataset = classified(["dog"] * 10 + ["cat"] * 30)
    make_index(dataset, embeddings=vectors)
    audit = audit_labels(dataset, "index", "truth", k=9)
    assert set(audit.ids[:10]) == set(dataset.values("id")[:10])
    assert audit.scores[9] > 0.5


def test_patches_of_one_image_do_not_vote_for_each_other(rng, make_index):
    """On each of ten images are three patches, of which one image's are wrong."""
    box = [0.1, 0.1, 0.2, 0.2]
    dataset = fo.Dataset()
    for n in range(10):
        labels = ["dog" if n == 0 else "cat"] * 3
        detections = [fo.Detection(label=v, bounding_box=box) for v in labels]
        things = fo.Detections(detections=detections)
        dataset.add_sample(fo.Sample(f"{n}.png", things=things))

    patches = dataset.to_patches("things")
    embeddings = {sample.sample_id: around(rng, [0] * 3) for sample in patches}
    make_index(dataset, patches_field="things", embeddings=embeddings)
    audit = audit_labels(dataset, "index", "things", k=2)
    assert set(audit.ids[:3]) == {d.id for d in dataset.first().things.detections}
    assert audit.scores[:3].tolist() == [1, 1, 1]


def test_a_view_is_judged_by_itself(two_classes):
    cats = two_classes.limit(19)
    audit = audit_labels(cats, "index", "truth")
    assert set(audit.ids) == set(cats.values("id"))
    assert audit.neighbors.max() < 19


def test_what_somebody_found_right_is_not_doubtful_until_it_changes(two_classes):
    first = two_classes.first()
    right = {first.id: "dog"}
    assert audit_labels(two_classes, "index", "truth", right=right).doubtful == 0
    right = {first.id: "cow"}
    assert audit_labels(two_classes, "index", "truth", right=right).doubtful == 1


@pytest.mark.parametrize(
    ("field", "says"),
    [("filepath", "no two"), ("nothing", "has no field"), ("boxes", "Detections")],
)
def test_a_field_that_cannot_be_judged_is_refused(two_classes, field, says):
    two_classes.add_sample_field(
        "boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections
    )
    with pytest.raises(ConfigError, match=says):
        audit_labels(two_classes, "index", field)


def test_there_must_be_labels_that_differ(two_classes):
    with pytest.raises(ConfigError, match="are 'cat'"):
        audit_labels(two_classes[1:10], "index", "truth")
    with pytest.raises(ConfigError, match="has a label"):
        audit_labels(two_classes[-1:], "index", "truth")


def test_an_index_that_is_not_there_and_an_empty_view_say_so(two_classes):
    with pytest.raises(IndexNotFound):
        audit_labels(two_classes, "other", "truth")
    with pytest.raises(MissingIDs, match="holds nothing"):
        audit_labels(two_classes.limit(0), "index", "truth")


def test_nothing_is_written_by_an_audit(two_classes):
    before = two_classes.values(["truth.label", "tags", "last_modified_at"])
    audit_labels(two_classes, "index", "truth")
    two_classes.reload()
    assert two_classes.values(["truth.label", "tags", "last_modified_at"]) == before


def test_accepted_labels_can_be_undone(two_classes):
    first, last = two_classes.first().id, two_classes.last().id
    before = two_classes.values("truth.label")
    changes = plan_labels(two_classes, "index", "truth", {first: "cat", last: "dog"})
    assert two_classes.values("truth.label") == before
    assert change_labels(two_classes, changes) == [first, last]
    assert two_classes[first].truth.label == "cat"
    assert two_classes[last].truth.label == "dog"

    assert change_labels(two_classes, changes.reverse) == [first, last]
    assert two_classes.values("truth.label") == before
    assert two_classes[last].truth is None


def test_undo_leaves_alone_what_was_changed_since(two_classes):
    first = two_classes.first()
    changes = plan_labels(two_classes, "index", "truth", {first.id: "cat"})
    change_labels(two_classes, changes)
    first.reload()
    first.truth.label = "cow"
    first.save()
    assert change_labels(two_classes, changes.reverse) == []
    assert two_classes.first().truth.label == "cow"


def test_labels_of_patches_are_changed_and_their_boxes_kept(
    make_dataset, make_index, rng
):
    dataset = make_dataset(10, patches=True)
    view = dataset.to_patches("detections")
    vectors = {}
    for sample in view:
        vectors.setdefault(sample.sample_id, []).append(rng.normal(size=4))

    vectors = {i: np.array(v) for i, v in vectors.items()}
    make_index(dataset, patches_field="detections", embeddings=vectors)
    before = dataset.to_patches("detections").values(
        ["id", "detections.label", "detections.bounding_box"]
    )
    chosen = before[0][1]
    changes = plan_labels(dataset, "index", "detections", {chosen: "ten"})
    change_labels(dataset, changes)
    after = dataset.to_patches("detections").values(
        ["id", "detections.label", "detections.bounding_box"]
    )
    assert after[1][1] == "ten"
    assert (after[0], after[2]) == (before[0], before[2])

    change_labels(dataset, changes.reverse)
    assert dataset.to_patches("detections").values("detections.label") == before[1]


def test_a_tag_is_taken_only_from_those_that_got_it(two_classes):
    first, second = two_classes.limit(2).values("id")
    two_classes.select(first).tag_samples("doubtful")
    changes = add_tag(two_classes, "index", [first, second], "doubtful")
    assert changes.ids == [second]
    assert two_classes.match_tags("doubtful").values("id") == [first, second]
    remove_tag(two_classes, changes)
    assert two_classes.match_tags("doubtful").values("id") == [first]


def test_progress_may_stop_an_audit(two_classes):
    class Stop(Exception):
        pass

    def progress(done, total):
        assert total == 40
        if done:
            raise Stop

    with pytest.raises(Stop):
        audit_labels(two_classes, "index", "truth", progress=progress)
