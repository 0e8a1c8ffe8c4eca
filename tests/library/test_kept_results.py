"""Answers that are kept with a dataset: opened again, out of date, decided about."""

import subprocess
import sys

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_qdrant import audit_labels, load_index, near_duplicates, select_samples
from fiftyone_qdrant.curate import review, stored
from fiftyone_qdrant.curate.freshness import deleted_since, why_outdated
from fiftyone_qdrant.errors import ConfigError
from tests.library.conftest import put_on

CORNERS = np.eye(4, dtype=np.float32)


@pytest.fixture
def place(monkeypatch):
    """What is kept is the same whoever holds the points."""
    return put_on("embedded", monkeypatch)


@pytest.fixture
def samples(rng, make_index):
    """10 cats, the first called a dog, and 10 dogs; the last two are the same."""
    labels = ["dog"] + ["cat"] * 9 + ["dog"] * 10
    dataset = fo.Dataset()
    dataset.add_samples(
        [
            fo.Sample(f"{n}.png", truth=fo.Classification(label=label))
            for n, label in enumerate(labels)
        ]
    )
    vectors = CORNERS[[0] * 10 + [1] * 10] + 0.05 * rng.normal(size=(20, 4))
    vectors[19] = vectors[18]
    make_index(dataset, embeddings=vectors.astype(np.float32))
    return dataset


@pytest.fixture
def audit(samples):
    return audit_labels(samples, "index", "truth", k=5, twins=1e-6)


def same(one, other):
    """Whether two answers have the same values."""
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def read_anew(dataset, one):
    stored._open.clear()
    return stored.read(dataset, one)


@pytest.mark.parametrize("kind", ["near_duplicates", "audit_labels", "select_samples"])
def test_an_answer_comes_back_as_it_was(samples, audit, kind):
    answer = {
        "near_duplicates": lambda: near_duplicates(samples, "index", 0.1),
        "audit_labels": lambda: audit,
        "select_samples": lambda: select_samples(samples, "index", 3),
    }[kind]()
    one = stored.keep(samples, answer, kind)
    assert same(read_anew(samples, one), answer)


def test_fiftyone_alone_reads_what_is_kept(samples, audit):
    one = stored.keep(samples, audit, "audit_labels")
    code = (
        "import sys, fiftyone as fo, fiftyone.core.utils as fou\n"
        "results = fo.load_dataset(sys.argv[1]).load_run_results(sys.argv[2])\n"
        "print(fou.deserialize_numpy_array(results.scores, ascii=True).sum())\n"
        "assert 'fiftyone_qdrant' not in sys.modules"
    )
    asked = [sys.executable, "-c", code, samples.name, one.key]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert float(said.split()[-1]) == pytest.approx(audit.scores.sum())


def test_a_newer_answer_takes_the_place_of_the_older(samples, audit):
    old = stored.keep(samples, audit, "audit_labels", slot="truth")
    other = stored.keep(samples, audit, "audit_labels", slot="another")
    new = stored.keep(samples, audit, "audit_labels", slot="truth")
    assert {s.key for s in stored.stored(samples)} == {new.key, other.key}
    with pytest.raises(ConfigError, match="replaced"):
        stored.read(samples, old)


def label_of(dataset, any_id):
    return dataset.select([any_id]).values("truth.label")[0]


def changes(dataset):
    """What happens to a dataset, and what is said of an audit then."""
    index, ids = load_index(dataset, "index"), dataset.values("id")
    dataset.tag_samples("seen")
    dataset.set_values("note", ["x"] * len(dataset))
    yield None
    sample = dataset[ids[3]]
    sample.truth.label = "cow"
    sample.save()
    yield "1 labels of 'truth' have changed"
    index.add_to_index(index.get_embeddings()[0][::-1], np.array(index.sample_ids))
    yield "Embeddings in index 'index' have changed"
    index.remove_from_index(sample_ids=ids[:2])
    yield "Index 'index' held 20 then, and holds 18 now"
    dataset.delete_brain_run("index")
    yield "Index 'index' is gone"


def test_an_answer_is_out_of_date_when_what_it_depends_on_changed(samples, audit):
    one = stored.keep(samples, audit, "audit_labels")
    for expected in changes(samples):
        assert why_outdated(samples, audit, one.stamp) == expected


def test_labels_accepted_are_undone_and_make_nothing_out_of_date(samples, audit):
    one = stored.keep(samples, audit, "audit_labels")
    first = samples.values("id")[0]
    assert audit.ids[0] == first
    assert review.accept(samples, audit, [first]) == 1
    assert label_of(samples, first) == "cat"

    decided = review.decisions(samples, "index", "truth")
    assert decided.settled == {first}
    assert why_outdated(samples, audit, one.stamp, decided.labels) is None

    review.ignore(samples, audit, audit.ids[1:3])
    review.tag(samples, audit, [first], "checked")
    assert review.undo(samples, "index", "truth") == "1 no longer tagged"
    assert review.undo(samples, "index", "truth") == "2 no longer ignored"
    assert review.undo(samples, "index", "truth") == "1 no longer accepted"
    assert label_of(samples, first) == "dog"
    assert samples[first].tags == []
    assert review.undo(samples, "index", "truth") is None


def test_what_two_processes_decide_is_kept(samples, audit):
    first, second = audit.ids[:2]
    review.ignore(samples, audit, [first])
    code = (
        "import sys, fiftyone as fo\n"
        "from fiftyone_qdrant import audit_labels\n"
        "from fiftyone_qdrant.curate import review\n"
        "dataset = fo.load_dataset(sys.argv[1])\n"
        "audit = audit_labels(dataset, 'index', 'truth', k=5, twins=1e-6)\n"
        "review.ignore(dataset, audit, sys.argv[2:])"
    )
    asked = [sys.executable, "-c", code, samples.name, second]
    subprocess.run(asked, check=True)
    review.ignore(samples, audit, audit.ids[2:3])
    decided = review.decisions(samples, "index", "truth")
    assert decided.settled == set(audit.ids[:3])


def test_what_was_deleted_is_left_out_of_groups(samples):
    found = near_duplicates(samples, "index", 0.5)
    one = stored.keep(samples, found, "near_duplicates")
    gone = found.at(0.5).remove[:3]
    samples.delete_samples(gone)
    assert deleted_since(samples, found, one.stamp) == set(gone)

    left = review.without(found, set(gone))
    again = near_duplicates(samples, "index", 0.5)
    assert left.at(0.3).groups == again.at(0.3).groups


def test_reviewed_groups_stay_reviewed_until_one_more_is_like_them(samples):
    found = near_duplicates(samples, "index", 0.5)
    (pair,) = found.at(1e-6).groups
    review.review(samples, "index", [pair])
    stored._open.clear()
    seen = review.reviewed(samples, "index")
    assert review.open_groups(found.at(1e-6), seen) == []
    assert review.open_groups(found.at(0.5), seen) == found.at(0.5).groups

    review.forget_reviews(samples, "index")
    assert not review.reviewed(samples, "index").ids
