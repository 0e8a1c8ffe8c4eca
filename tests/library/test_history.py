"""Searches that were made: kept, run again, and going on by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from fiftyone.operators.store import ExecutionStore

from fiftyone_qdrant import load_index, rename_index
from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import history, standing
from fiftyone_qdrant.explore.questions import Part, Question, ask, embedded_key
from fiftyone_qdrant.explore.sessions import Answer
from fiftyone_qdrant.ingest.ingest import add_samples
from tests.library.conftest import ONE_ENGINE

pytestmark = ONE_ENGINE


@pytest.fixture
def index(make_embedded, make_index):
    dataset = make_embedded(30)
    return make_index(dataset, embeddings="vector", metric="euclidean")


def search(index, *parts, k=5, cut=(None, None)):
    question = Question(parts, k=k)
    hits = ask(index, question)
    return Answer(question, index, hits, cut)


def like(index, row):
    return Part("ids", [index.samples.values("id")[row]], name=f"sample {row}")


def test_a_search_is_kept_and_asked_again_on_todays_data(index):
    dataset, answer = index.samples, search(index, like(index, 0))
    kept = history.keep(dataset, answer, scope="Entire dataset")
    (found,) = history.searches(dataset)
    assert found == kept
    assert (found.name, found.count) == ("sample 0", 5)
    assert ask(index, found.to_question()).ids == answer.hits.ids


def test_what_one_model_embedded_is_not_taken_for_anothers(index):
    part = Part("text", "a cat")
    before = embedded_key(index, part)
    assert embedded_key(load_index(index.samples, "index"), part) == before
    index.config.model = "another"
    assert embedded_key(index, part) != before


def test_the_same_search_again_takes_its_own_place(index):
    dataset = index.samples
    first = history.keep(dataset, search(index, like(index, 0)))
    history.rename_search(dataset, first.id, "mine")
    history.keep(dataset, search(index, like(index, 1)))
    history.keep(dataset, search(index, like(index, 0)))
    assert [s.name for s in history.searches(dataset)] == ["mine", "sample 1"]


def test_the_searches_of_an_index_follow_its_new_name(index):
    dataset = index.samples
    history.keep(dataset, search(index, like(index, 0)))
    rename_index(dataset, "index", "renamed")
    assert [s.brain_key for s in history.searches(dataset)] == ["renamed"]


def test_pinned_searches_stay_and_the_oldest_of_the_others_go(index, monkeypatch):
    monkeypatch.setattr(history, "MOST", 2)
    dataset = index.samples
    first = history.keep(dataset, search(index, like(index, 0)))
    history.pin_search(dataset, first.id)
    for row in (1, 2, 3):
        history.keep(dataset, search(index, like(index, row)))

    names = [s.name for s in history.searches(dataset)]
    assert names == ["sample 0", "sample 3", "sample 2"]
    history.delete_search(dataset, first.id)
    with pytest.raises(ConfigError, match="not kept any more"):
        history.rename_search(dataset, first.id, "gone")


def test_a_picture_is_kept_as_its_vector_and_a_link_without_its_query(index):
    picture = Part("picture", "key", name="https://a.example/b.png?token=secret")
    answer = Answer(Question((picture,)), index, search(index, like(index, 0)).hits)
    history.keep(index.samples, answer, vector_of=lambda part: np.ones(8))
    (found,) = history.searches(index.samples)
    (part,) = found.to_question().parts
    assert (part.kind, part.value) == ("vector", [1.0] * 8)
    assert "secret" not in str(found)


def test_as_python_it_finds_the_same(index):
    dataset = index.samples
    cut = (None, float(search(index, like(index, 0)).hits.distances[3]))
    parts = (like(index, 0), Part("vector", [1.0] * 8, unlike=True))
    for asked in (parts[:1], parts):
        answer = search(index, *asked, cut=cut)
        code = history.as_python(dataset, history.keep(dataset, answer))
        names = {}
        exec(code, names)  # noqa: S102
        assert names["ids"] == answer.shown.ids


def test_searches_of_fiftyones_own_panel_are_listed(index):
    dataset = index.samples
    ids = dataset.values("id")[:2]
    store = ExecutionStore.create(
        "similarity_search_panel", dataset_id=dataset_id(dataset)
    )
    run = {
        "run_id": "r",
        "run_name": "two",
        "status": "completed",
        "query_type": "image",
    }
    store.set("run:r", {**run, "brain_key": "index", "query": ids, "k": 4})
    store.set("run:x", {**run, "brain_key": "other", "query": ids})
    (found,) = history.of_fiftyone(dataset, ["index"])
    assert (found.name, found.to_question().parts[0].value) == ("two", ids)
    assert history.searches(dataset) == []


@pytest.fixture
def standing_search(index):
    """A search for what is within 3 of zero, that goes on by itself."""
    dataset = index.samples
    answer = search(index, Part("vector", [0.0] * 8, name="zero"))
    kept = history.keep(dataset, answer)
    history.pin_search(dataset, kept.id)
    question = kept.to_question()
    standing.stand(dataset, kept.id, index, question, limit=3.0)
    return kept


def add(dataset, vectors):
    """Adds samples with these vectors to the dataset, and to the index."""
    import fiftyone as fo

    new = [fo.Sample(f"/new/{len(dataset)}-{n}.png") for n in range(len(vectors))]
    ids = dataset.add_samples(new)
    view = dataset.select(ids, ordered=True)
    view.set_values("vector", [np.asarray(v, dtype=float) for v in vectors])
    add_samples(load_index(dataset, "index"), view)
    return ids


def test_what_is_added_and_matches_is_news(index, standing_search):
    dataset = index.samples
    near, far = [0.5] * 8, [9.0] * 8
    (first, _) = add(dataset, [near, far])
    (found,) = standing.news(dataset)
    assert found.standing["count"] == 1
    assert standing.in_words(found).startswith("1 new since ")

    add_samples(load_index(dataset, "index"), dataset.select([first]))  # once more
    (second,) = add(dataset, [near])
    assert standing.have_seen(dataset, found.id) == [first, second]
    assert standing.news(dataset) == []


def test_news_are_told_once(index, standing_search):
    add(index.samples, [[0.1] * 8])
    assert [s.id for s in standing.untold(index.samples)] == [standing_search.id]
    assert standing.untold(index.samples) == []
    assert len(standing.news(index.samples)) == 1


def test_only_what_is_pinned_can_stand(index):
    dataset = index.samples
    kept = history.keep(dataset, search(index, like(index, 0)))
    with pytest.raises(ConfigError, match="Pin the search first"):
        standing.stand(dataset, kept.id, index, kept.to_question(), 1.0)


def test_news_and_a_new_name_at_the_same_time_are_both_kept(
    index, standing_search, monkeypatch
):
    dataset, compare_and_set = index.samples, ExecutionStore.compare_and_set

    def slower(store, *args):
        monkeypatch.undo()
        history.rename_search(dataset, args[0], "mine")
        return compare_and_set(store, *args)

    (found,) = standing.standing(dataset, "index")
    monkeypatch.setattr(ExecutionStore, "compare_and_set", slower)
    standing.notice(index, [found], ["a" * 24], np.zeros((1, 8), dtype=np.float32))
    (found,) = history.searches(dataset)
    assert (found.name, found.standing["count"]) == ("mine", 1)


def test_what_is_added_while_a_standing_search_is_deleted_is_added(
    index, standing_search
):
    dataset = index.samples
    (found,) = standing.standing(dataset, "index")
    history.delete_search(dataset, found.id)
    standing.notice(index, [found], ["a" * 24], np.zeros((1, 8), dtype=np.float32))
    assert history.searches(dataset) == []
    assert standing.have_seen(dataset, found.id) == []
