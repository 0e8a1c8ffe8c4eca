"""The events of Qdrant Search outside the App."""

import base64
import csv
import io
import json
import threading

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext, Executor

from fiftyone_qdrant.explore import links, questions, sessions
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, labels_of, panel_context

PANEL = "@community/qdrant/qdrant_search"


class Page:
    """A panel in a browser: its state, and what the App was told last.

    Attributes:
        state: the panel's state
        told: the parameters of what the App is to do, by its name
        view: the view that the grid shows, or ``None`` for the dataset
        selected: the ids that are selected in it
    """

    panel = PANEL

    def __init__(self, dataset, **asked):
        self.state, self.told, self.selected, self.view = {}, {}, [], None
        self._asked = asked
        self._dataset = dataset
        self._panel = foo.get_operator(self.panel)

    def context(self, **params):
        ctx = panel_context(self._dataset, self.state, **params)
        ctx.request_params.update(self._asked, selected=self.selected)
        if self.view is not None:
            ctx.request_params["view"] = self.view._serialize()

        return ctx

    def send(self, event, **params):
        """Sends an event, and does what it says."""
        ctx = self.context(__method__=event, **params)
        self._panel.execute(ctx)
        self.state = ctx.panel_state
        requests = ctx.executor.to_json()["requests"]
        self.told = {}
        for r in requests:
            self.told[r["operator_uri"].rpartition("/")[2]] = r["params"]

        if "set_view" in self.told:
            stages = self.told["set_view"]["view"]
            self.view = fo.DatasetView._build(self._dataset, stages)

    def open(self, dataset):
        """Opens another dataset in the same page."""
        self._dataset, self.view, self.selected = dataset, None, []

    def ask(self, *ids, how="only"):
        """Asks with samples."""
        self.selected = list(ids)
        self.send("ask_selected", how=how)

    @property
    def shown(self):
        """The ids that the grid shows."""
        return self.view.values("id")

    @property
    def drawn(self):
        """What is drawn, by name."""
        return self._panel.render(self.context()).type.properties

    @property
    def problem(self):
        """What is said to have gone wrong."""
        return self.drawn["problem_alert"].view.description

    @property
    def parts(self):
        """The parts of the question."""
        return self.state["kept"]["parts"]


@pytest.fixture
def page(indexed):
    page = Page(indexed)
    page.send("on_load")
    return page


@pytest.fixture
def vectors(digits):
    """Of the samples, of length 1."""
    return unit(digits.vectors[:40])


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def nearest(dataset, vectors, query):
    ids = np.array(dataset.values("id"))
    return ids[np.argsort(-vectors @ query, kind="stable")].tolist()


@pytest.fixture
def asked(monkeypatch):
    """What Qdrant was asked since: one entry per question."""
    asked = []
    search = questions.QdrantSimilarityIndex.search

    def counted(self, *args, **kwargs):
        asked.append(kwargs)
        return search(self, *args, **kwargs)

    monkeypatch.setattr(questions.QdrantSimilarityIndex, "search", counted)
    return asked


# --- what is asked --------------------------------------------------------------


def test_the_selection_is_asked_and_shown_nearest_first(page, indexed, vectors):
    page.ask(indexed.first().id)
    assert page.shown == nearest(indexed, vectors, vectors[0])


def test_a_text_is_searched_for_as_it_is_typed(prompted, digits_model):
    page = Page(prompted)
    page.send("on_load")
    page.send("type_text", value="a photo of a seven")
    index = load_index(prompted, "prompted")
    (hits,) = index.search("a photo of a seven", k=500)
    assert page.shown == hits.ids
    page.send("type_text", value="")
    assert "set_view" not in page.told
    assert "found" not in page.drawn


def test_parts_weigh_the_same_and_can_be_unlike_or_dropped(page, indexed, vectors):
    ids = indexed.values("id")
    page.ask(ids[3])
    page.ask(ids[5], how="unlike")
    rest = nearest(indexed, vectors, unit(2 * vectors[3] - vectors[5]))
    assert page.shown == [i for i in rest if i not in (ids[3], ids[5])]

    like, unlike = page.parts
    page.send("turn", part=unlike["id"])
    assert page.shown == nearest(indexed, vectors, vectors[3] + vectors[5])
    page.send("drop", part=like["id"])
    assert page.shown == nearest(indexed, vectors, vectors[5])


def test_a_text_is_made_unlike_beside_a_sample(prompted, digits_model):
    page = Page(prompted)
    page.send("on_load")
    page.ask(prompted.first().id)
    page.send("type_text", value="a photo of a seven")
    page.send("text_unlike")
    assert page.told["patch_panel_state"]
    assert page.state["ask"]["text"] == ""
    assert [(p["kind"], p["unlike"]) for p in page.parts] == [
        ("ids", False),
        ("text", True),
    ]
    page.send("start_anew")
    assert page.parts == []
    assert "found" not in page.drawn


def test_only_what_is_unwanted_is_no_question(page, indexed):
    page.ask(indexed.first().id, how="unlike")
    assert "Add something to look for" in page.problem


def test_a_tag_weighs_as_much_as_one_vector(page, indexed, vectors):
    ids = indexed.values("id")
    indexed.select(ids[10:20]).tag_samples("ten")
    page.send("ask_tag", value="ten")
    page.state["more"] = {"vector": str(vectors[0].tolist())}
    page.send("ask_vector")
    query = unit(vectors[10:20].mean(axis=0)) + vectors[0]
    assert page.shown[:10] == nearest(indexed, vectors, query)[:10]


def test_a_vector_that_is_none_is_refused_and_not_kept(page):
    page.state["more"] = {"vector": "1, 2, three"}
    page.send("ask_vector")
    assert page.problem == "'three' is not a number"
    assert not sessions.session_of(page.state["token"])[0].parts


def test_an_uploaded_picture_stays_on_the_server(prompted, digit_images, digits_model):
    page = Page(prompted)
    page.send("on_load")
    content = base64.b64encode(digit_images[7].read_bytes()).decode()
    page.state["more"] = {"picture": {"content": content, "name": "seven.png"}}
    page.send("upload", value={"content": content, "name": "seven.png"})
    assert page.shown[0] == prompted.skip(7).first().id
    assert content not in json.dumps(page.state)
    (part,) = page.parts
    assert (part["name"], part["thumb"][:16]) == ("seven.png", "data:image/jpeg;")


def test_what_is_no_picture_is_refused(prompted):
    page = Page(prompted)
    page.send("on_load")
    text = base64.b64encode(b"no picture").decode()
    page.send("upload", value={"content": text, "name": "a.png"})
    assert "not an image" in page.problem


def test_a_link_is_asked_with_and_its_secrets_are_not_kept(
    prompted, digit_images, monkeypatch
):
    monkeypatch.setattr(links, "fetch", lambda url: digit_images[7].read_bytes())
    page = Page(prompted)
    page.send("on_load")
    page.state["more"] = {"link": "https://files.example/seven.png?key=secret"}
    page.send("follow_link")
    assert page.shown[0] == prompted.skip(7).first().id
    assert page.parts[0]["name"] == "seven.png"
    assert "secret" not in json.dumps(page.state)


def test_the_open_sample_is_asked_and_shown_small_until_the_grid_is_wanted(indexed):
    opened = indexed.first().id
    page = Page(indexed, current_sample=opened)
    page.send("on_load")
    page.send("ask_selected", how="only")
    assert "set_view" not in page.told
    assert len(page.drawn["nearest"].type.properties) == 12
    page.send("show_again")
    assert page.shown[0] == opened
    assert "close_sample" in page.told


def test_the_sample_that_was_open_is_asked_with_in_the_panel(indexed):
    opened = indexed.first().id
    ctx = {"dataset": indexed, "current_sample": opened}
    foo.execute_operator("@community/qdrant/search_open_sample", ctx)
    page = Page(indexed)
    page.send("on_load")
    assert page.shown[0] == opened
    assert sessions.take_sample(indexed.name) is None


def test_labels_are_asked_in_an_index_of_patches(indexed_patches):
    label = labels_of(indexed_patches)[4]
    chosen = {"label_id": label, "field": "detections", "sample_id": "any"}
    page = Page(indexed_patches, selected_labels=[chosen])
    page.send("on_load")
    page.send("ask_selected", how="only")
    assert page.shown[0] == label
    assert len(page.view) == 40


def test_a_label_is_cut_out_and_embedded_for_an_index_of_samples(patches, digits_model):
    call("create_qdrant_index", patches, brain_key="whole", model=digits_model)
    label = labels_of(patches)[0]
    holder = patches.match_labels(ids=[label], fields="detections").first()
    chosen = {"label_id": label, "field": "detections", "sample_id": holder.id}
    page = Page(patches, selected_labels=[chosen])
    page.send("on_load")
    page.send("ask_selected", how="only")
    assert page.parts[0]["kind"] == "picture"
    assert len(page.view) == len(patches)


# --- live -----------------------------------------------------------------------


def test_number_order_and_variety_are_followed(page, indexed, vectors):
    page.ask(indexed.first().id)
    page.send("change_k", value=5)
    assert page.shown == nearest(indexed, vectors, vectors[0])[:5]
    page.send("change_reverse", value=True)
    assert page.shown == nearest(indexed, vectors, -vectors[0])[:5]
    page.send("change_reverse", value=False)
    page.send("change_variety", value=80)
    assert page.shown != nearest(indexed, vectors, vectors[0])[:5]


def test_an_answer_that_was_overtaken_is_dropped(page, indexed, monkeypatch):
    first, second = indexed.values("id")[:2]
    page.ask(first)
    module = foo.get_operator(PANEL).search.__globals__
    ask, waits, goes = module["ask"], threading.Event(), threading.Event()

    def slow_once(index, question, *args):
        if not waits.is_set():
            waits.set()
            goes.wait(60)

        return ask(index, question, *args)

    monkeypatch.setitem(module, "ask", slow_once)
    slow = page.context(__method__="change_k", value=7)
    thread = threading.Thread(target=foo.get_operator(PANEL).execute, args=(slow,))
    thread.start()
    assert waits.wait(60)
    page.ask(second)
    goes.set()
    thread.join(60)
    assert slow.executor.to_json()["requests"] == []
    assert page.shown[0] == second
    assert len(page.shown) == 7  # what the older one changed is not lost


def test_two_panels_do_not_share_what_is_asked(page, indexed):
    other = Page(indexed)
    other.send("on_load")
    page.ask(indexed.first().id)
    other.ask(indexed.last().id)
    page.send("change_k", value=3)
    assert page.shown[0] == indexed.first().id


def test_a_server_that_forgot_is_told_by_the_state(page, indexed, monkeypatch):
    page.ask(indexed.first().id)
    page.send("change_k", value=3)
    sessions._sessions.clear()
    page.send("on_change_selected")
    page.send("change_reverse", value=True)
    assert len(page.shown) == 3
    assert page.shown[-1] != indexed.first().id


# --- where ----------------------------------------------------------------------


def test_the_view_before_is_searched_and_not_the_result(page, indexed):
    page.view = indexed.limit(20)
    page.send("on_change_view")
    page.ask(indexed.first().id)
    assert set(page.shown) == set(indexed.limit(20).values("id"))
    page.send("change_k", value=3)
    page.send("change_k", value=500)
    assert len(page.shown) == 20


def test_within_these_stays_what_was_shown_then(page, indexed, vectors):
    ids = nearest(indexed, vectors, vectors[0])
    page.ask(ids[0])
    page.send("change_k", value=8)
    page.send("change_within", value="results")
    page.send("change_k", value=500)
    page.ask(ids[3])
    assert set(page.shown) == set(ids[:8])
    page.ask(ids[1])
    assert set(page.shown) == set(ids[:8])


def test_a_saved_view_is_searched(page, indexed):
    indexed.save_view("last", indexed.skip(30))
    page.send("refresh")
    page.ask(indexed.first().id)
    page.send("change_within", value="saved:last")
    assert set(page.shown) == set(indexed.skip(30).values("id"))


def test_our_own_result_is_no_change_of_the_view(page, indexed):
    page.ask(indexed.first().id)
    page.send("on_change_view")
    page.send("on_change_view")
    assert page.told == {}


# --- the cut --------------------------------------------------------------------


def test_moving_the_cut_asks_qdrant_nothing(page, indexed, vectors, asked):
    page.ask(indexed.first().id)
    assert len(asked) == 1
    far = np.sort(1 - vectors @ vectors[0])
    order = nearest(indexed, vectors, vectors[0])
    page.send("change_cut", value=[0.0, (far[9] + far[10]) / 2])
    assert page.shown == order[:10]
    page.send("change_cut", value=[(far[4] + far[5]) / 2, (far[9] + far[10]) / 2])
    assert page.shown == order[5:10]
    page.send("cut_to_bars", data=[{"idx": n} for n in range(20)])
    within = np.count_nonzero(far <= far[0] + (far[-1] - far[0]) / 2)
    assert page.shown == order[:within]
    page.send("cut_at_bar", idx=39)
    page.send("show_all")
    assert page.shown == order
    assert len(asked) == 1


def test_a_cut_is_proposed_where_distances_jump(dataset, rng, asked):
    near = rng.normal([1, 0, 0], 0.02, (10, 3))
    vectors = np.concatenate([near, rng.normal([0, 1, 0.5], 0.1, (30, 3))])
    dataset.set_values("embedding", list(vectors))
    call("create_qdrant_index", dataset, brain_key="near", embeddings="embedding")
    page = Page(dataset)
    page.send("on_load")
    page.ask(dataset.first().id)
    page.send("cut_at_jump")
    assert set(page.shown) == set(dataset.limit(10).values("id"))
    assert len(asked) == 1


def test_near_identical_hits_are_hidden_behind_one_of_them(dataset, digits):
    vectors = np.repeat(digits.vectors[:10], 4, axis=0)
    dataset.set_values("pixels", list(vectors))
    call("create_qdrant_index", dataset, brain_key="twins", embeddings="pixels")
    page = Page(dataset)
    page.send("on_load")
    page.ask(dataset.first().id)
    page.send("change_twins", value=True)
    assert len(page.shown) == 10
    assert page.shown[0] == dataset.first().id
    page.send("change_k", value=8)
    assert len(page.shown) == 2
    page.send("change_threshold", value=2.0)
    assert len(page.shown) == 1
    page.send("change_twins", value=False)
    assert len(page.shown) == 8


def test_distances_are_shown_without_being_written(page, indexed):
    page.ask(indexed.first().id)
    assert page.view.values("distance") == sorted(page.view.values("distance"))
    assert indexed.exists("distance").count() == 0
    page.send("change_distances", value=False)
    assert set(page.view.values("distance")) == {None}


# --- what is done with it -------------------------------------------------------


@pytest.fixture
def three(page, indexed):
    """The panel showing the three nearest to the first sample."""
    page.ask(indexed.first().id)
    page.send("change_k", value=3)
    return page


def test_what_is_shown_is_tagged(three, indexed):
    three.state["act"] = {"tag": "odd"}
    three.send("tag_shown")
    assert set(indexed.match_tags("odd").values("id")) == set(three.shown)


def test_labels_that_are_shown_are_tagged(indexed_patches):
    label = labels_of(indexed_patches)[4]
    chosen = {"label_id": label, "field": "detections", "sample_id": "any"}
    page = Page(indexed_patches, selected_labels=[chosen])
    page.send("on_load")
    page.send("ask_selected", how="only")
    page.send("change_k", value=3)
    page.state["act"] = {"tag": "odd"}
    page.send("tag_shown")
    assert indexed_patches.count_label_tags() == {"odd": 3}


def test_what_is_shown_is_saved_as_a_view_under_a_free_name(three, indexed):
    three.state["act"] = {"name": "three"}
    three.send("save_shown")
    assert indexed.load_saved_view("three").values("id") == three.shown
    three.send("save_shown")
    assert "already" in three.problem


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_what_is_shown_is_downloaded_with_distances(three, vectors, kind):
    three.send("download", kind=kind)
    told = three.told["browser_download"]
    text = base64.b64decode(told["url"].partition(",")[2]).decode()
    rows = json.loads(text) if kind == "json" else [*csv.DictReader(io.StringIO(text))]
    assert [r["id"] for r in rows] == three.shown
    distances = [float(r["distance"]) for r in rows]
    assert distances == pytest.approx(np.sort(1 - vectors @ vectors[0])[:3], abs=1e-5)
    assert told["filename"].endswith(kind)


# --- what is missing ------------------------------------------------------------


def test_a_dataset_without_an_index_is_offered_one(dataset):
    page = Page(dataset)
    page.send("on_load")
    assert "create" in page.drawn
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    page.send("refresh")
    page.ask(dataset.first().id)
    assert len(page.shown) == 40


def test_an_index_that_went_away_is_said(page, indexed):
    page.ask(indexed.first().id)
    indexed.delete_brain_run("pixels")
    page.send("change_k", value=3)
    assert "no Qdrant index 'pixels'" in page.problem
    page.send("refresh")
    assert "create" in page.drawn


def test_another_dataset_begins_anew(page, indexed, make_dataset):
    page.ask(indexed.first().id)
    page.open(make_dataset(3))
    page.send("on_change_dataset")
    assert "create" in page.drawn
    page.send("on_change_dataset")
    assert page.told == {}
    page.open(indexed)
    page.send("on_change_dataset")
    assert "found" not in page.drawn
    page.ask(indexed.last().id)
    assert page.shown[0] == indexed.last().id


def test_no_dataset_is_said():
    panel = foo.get_operator(PANEL)
    asked = {"panel_id": "p", "params": {"panel_id": "p", "panel_state": {}}}
    ctx = ExecutionContext(executor=Executor(), request_params=asked)
    assert "no_dataset" in panel.render(ctx).type.properties
