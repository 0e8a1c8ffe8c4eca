"""The section "Examples" of the documentation, run as it is written."""

from __future__ import annotations

import re

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from tests.documentation.blocks import quotes

pytestmark = [
    pytest.mark.usefixtures("zoo"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),  # in memory
]


def collections(client) -> list[str]:
    return sorted(c.name for c in client.get_collections().collections)


@quotes("Basic recipe", 1, 2)
def test_basic_recipe(blocks):
    """Under "Basic recipe": an index without a parameter, a query, and nothing left."""
    create, query = blocks
    names = create.run()
    index, dataset = names["qdrant_index"], names["dataset"]
    assert isinstance(index, QdrantSimilarityIndex)
    assert index.total_index_size == len(dataset) == 200
    client = index.client

    names = query.run(**names)
    assert len(names["view"]) == 10
    assert names["view"].first().id == names["query"]
    assert dataset.list_brain_runs() == []
    assert collections(client) == []


def _options(code: str) -> list[str]:
    return re.split(r"^(?=# Option)", code, flags=re.M)


@pytest.mark.parametrize("option", [1, 2, 3, 4])
@quotes("Create a similarity index")
def test_create_a_similarity_index(blocks, option):
    """Under "Create a similarity index": the four options.

    They are alternatives ("a few possibilities"): a brain key can be used once.
    """
    (block,) = blocks
    start, *options = _options(block.code)
    assert len(options) == 4
    names = block.run(start + options[option - 1])

    dataset = names["dataset"]
    index = dataset.load_brain_results(names["brain_key"])
    assert index.config.method == "qdrant"
    assert index.total_index_size == 200
    expected = dataset.compute_embeddings(names["model"])
    stored, _, _ = index.get_embeddings(sample_ids=dataset.values("id"))
    np.testing.assert_allclose(stored, expected, atol=1e-5)
    # FiftyOne stores it only for a model that it can load by name
    assert bool(index.config.supports_prompts) is (option == 1)
    assert index.config.embeddings_field == ("embeddings" if option == 4 else None)


@quotes("Create a similarity index")
def test_second_option_under_the_same_brain_key_is_refused(blocks):
    """Under "Create a similarity index" in one go: FiftyOne protects the first run."""
    (block,) = blocks
    start, first, second, *_ = _options(block.code)
    names = block.run(start + first)
    dataset = names["dataset"]
    index = dataset.load_brain_results("qdrant_index")
    before = collections(index.client)
    with pytest.raises(ValueError, match="'qdrant_index' already exists"):
        block.run(second, **names)
    assert dataset.list_brain_runs() == ["qdrant_index"]
    assert collections(index.client) == before
    assert index.total_index_size == 200


@quotes("Create a patch similarity index")
def test_create_a_patch_similarity_index(blocks):
    """Under "Create a patch similarity index": one point per annotated object."""
    (block,) = blocks
    dataset = block.run()["dataset"]
    index = dataset.load_brain_results("qdrant_patches")
    labels = dataset.values("ground_truth.detections.id", unwind=True)
    assert sorted(index.label_ids) == sorted(labels)
    assert len(labels) == 400
    found = dataset.to_patches("ground_truth").sort_by_similarity(
        labels[0], k=5, brain_key="qdrant_patches"
    )
    assert found.first().id == labels[0]
    assert len(found) == 5


@quotes("Connect to an existing index")
def test_connect_to_an_existing_index(blocks):
    """Under "Connect to an existing index": its vectors are there, none is computed."""
    import fiftyone.zoo as foz

    (block,) = blocks
    dataset = foz.load_zoo_dataset("quickstart")
    made = fob.compute_similarity(
        dataset,
        model="clip-vit-base32-torch",
        backend="qdrant",
        collection_name="your-collection",
    )

    names = block.run()
    assert names["dataset"] is dataset
    index = dataset.load_brain_results("qdrant_index")
    assert index.config.collection_name == "your-collection"
    assert collections(index.client) == ["your-collection"]
    assert index.total_index_size == made.total_index_size == 200
    view = dataset.sort_by_similarity("a three", k=10, brain_key="qdrant_index")
    assert len(view) == 10


@quotes("Add/remove embeddings from an index")
def test_add_remove_embeddings_from_an_index(blocks, capsys):
    """Under "Add/remove embeddings from an index": 200 become 190, then 210."""
    (block,) = blocks
    names = block.run()
    assert capsys.readouterr().out.split() == ["200", "210"]
    index, dataset = names["qdrant_index"], names["dataset"]
    assert sorted(index.sample_ids) == sorted(dataset.values("id"))
    assert not set(names["ids"]) & set(index.sample_ids)
    stored, _, _ = index.get_embeddings(sample_ids=names["sample_ids"])
    np.testing.assert_allclose(stored, names["embeddings"], rtol=1e-5)


@quotes("Retrieve embeddings from an index")
def test_retrieve_embeddings_from_an_index(blocks, capsys):
    """Under "Retrieve embeddings from an index": the shapes of its comments."""
    (block,) = blocks
    promised = re.findall(r"# (\(.*\))$", block.code, re.M)
    assert promised == ["(200, 512)", "(200,)", "(10, 512)", "(10,)"]
    names = block.run()
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("(")] == promised
    assert list(names["sample_ids"]) == names["ids"]


@quotes("Querying a Qdrant index")
def test_querying_a_qdrant_index(blocks):
    """Under "Querying a Qdrant index" by vector, id, list of ids and text prompt."""
    (block,) = blocks
    start, *queries = re.split(r"^(?=# Query)", block.code, flags=re.M)
    assert len(queries) == 4
    names = block.run(start)
    dataset = names["dataset"]
    ids = dataset.values("id")
    model = names["foz"].load_zoo_model("clip-vit-base32-torch")
    embeddings = dataset.compute_embeddings(model)

    for code in queries:
        names = block.run(code, **names)
        query = names["query"]
        if isinstance(query, np.ndarray):
            vector = query
        elif query == "a photo of a dog":
            vector = model.embed_prompt(query)
        else:
            wanted = [query] if isinstance(query, str) else query
            vector = embeddings[[ids.index(i) for i in wanted]].mean(axis=0)
        found = names["view"].values("id")
        scores = embeddings @ vector / np.linalg.norm(vector)
        best = np.sort(scores)[::-1][:10]
        np.testing.assert_allclose(
            [scores[ids.index(i)] for i in found], best, atol=1e-5, err_msg=code
        )


@quotes("Querying a Qdrant index")
def test_search_on_a_view_only_returns_results_from_the_view(blocks):
    """Under "Querying a Qdrant index", its note: of the view, and indexed."""
    (block,) = blocks
    dataset = block.run()["dataset"]
    view = dataset.limit(50)
    index = dataset.load_brain_results("qdrant_index")
    index.remove_from_index(sample_ids=view.values("id")[10:])
    found = view.sort_by_similarity("a three", brain_key="qdrant_index")
    assert sorted(found.values("id")) == sorted(view.values("id")[:10])


@quotes("Accessing the Qdrant client")
def test_accessing_the_qdrant_client(blocks, capsys):
    """Under "Accessing the Qdrant client": it prints, and it lists our collection."""
    (block,) = blocks
    names = block.run()
    printed = capsys.readouterr().out
    name = names["qdrant_index"].config.collection_name
    assert "EmbeddedClient(" in printed
    assert f"collections=[CollectionDescription(name='{name}')]" in printed


@quotes("Advanced usage")
def test_advanced_usage(blocks, capsys, caplog):
    """Under "Advanced usage": a name and metric of one's own, ten samples indexed."""
    (block,) = blocks
    names = block.run()
    index, client = names["qdrant_index"], names["qdrant_client"]
    assert "custom-quickstart-index" in capsys.readouterr().out
    assert index.total_index_size == 10
    assert set(index.sample_ids) == set(names["view"].values("id"))
    info = client.get_collection("custom-quickstart-index")
    assert info.config.params.vectors.distance == "Dot"
    assert info.config.params.vectors.size == 512

    warning = next(r.getMessage() for r in caplog.records if "ignored" in r.message)
    assert "shard_number" in warning
    assert "replication_factor" in warning
    config = names["dataset"].get_brain_info("qdrant_index").config
    assert (config.replication_factor, config.shard_number) == (2, 2)


@quotes("Advanced usage")
def test_advanced_usage_on_a_server_sends_the_parameters(blocks, servers, monkeypatch):
    """Under "Advanced usage" with a server: shards and copies reach it."""
    from qdrant_client import QdrantClient

    sent = {}
    create = QdrantClient.create_collection

    def create_collection(self, collection_name, **parameters):
        sent.update(parameters)
        return create(self, collection_name, **parameters)

    monkeypatch.setattr(QdrantClient, "create_collection", create_collection)
    variable = "FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL"
    monkeypatch.setenv(variable, "http://qdrant.example:6333")
    (block,) = blocks
    names = block.run()
    assert names["qdrant_index"].total_index_size == 10
    assert (sent["shard_number"], sent["replication_factor"]) == (2, 2)
