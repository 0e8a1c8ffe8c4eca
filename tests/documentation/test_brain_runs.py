"""The section "Managing brain runs" of the documentation."""

from __future__ import annotations

import fiftyone.brain as fob
import pytest

from tests.documentation.blocks import quotes


@pytest.fixture
def runs(make_dataset, digits, digits_model):
    """A dataset with three runs: an sklearn one, one of ours, one of our patches."""
    dataset = make_dataset(20, patches=True)
    dataset.rename_sample_field("ground_truth", "digit")
    dataset.rename_sample_field("detections", "ground_truth")
    fob.compute_visualization(
        dataset, embeddings=digits.vectors[:20], method="pca", brain_key="points"
    )
    fob.compute_similarity(
        dataset,
        embeddings=digits.vectors[:20],
        backend="qdrant",
        brain_key="qdrant_index",
    )
    fob.compute_similarity(
        dataset,
        model=digits_model,
        patches_field="ground_truth",
        backend="qdrant",
        brain_key="qdrant_patches",
    )
    return dataset


@quotes("Managing brain runs", 0)
def test_managing_brain_runs_lists_them(blocks, runs):
    """Under "Managing brain runs": all, similarity runs, runs of certain settings."""
    (block,) = blocks
    calls = block.code.split("# ")
    assert len(calls) == 4
    answers = []
    for call in calls[1:]:
        _, _, code = call.partition("\n")
        names = block.run(f"answer = {code.strip()}", dataset=runs, fob=fob)
        answers.append(names["answer"])
    assert answers == [
        ["points", "qdrant_index", "qdrant_patches"],
        ["qdrant_index", "qdrant_patches"],
        ["qdrant_patches"],
    ]
    block.run(dataset=runs)


@quotes("Managing brain runs", 1)
def test_managing_brain_runs_prints_their_configuration(blocks, runs, capsys):
    """Under "Managing brain runs": ``get_brain_info()`` prints, with the collection."""
    (block,) = blocks
    info = block.run(dataset=runs, brain_key="qdrant_index")["info"]
    printed = capsys.readouterr().out
    assert info.key == "qdrant_index"
    assert '"method": "qdrant"' in printed
    assert f'"collection_name": "{info.config.collection_name}"' in printed


@quotes("Managing brain runs", 2)
def test_managing_brain_runs_renames_one(blocks, runs):
    """Under "Managing brain runs": the index is there under the new name only."""
    (block,) = blocks
    old = runs.load_brain_results("qdrant_index")
    block.run(dataset=runs, brain_key="qdrant_index", new_brain_key="new_name")
    assert runs.list_brain_runs(type="similarity") == ["new_name", "qdrant_patches"]
    index = runs.load_brain_results("new_name")
    assert index.key == "new_name"
    assert index.config.collection_name == old.config.collection_name
    found = runs.sort_by_similarity(runs.first().id, k=3, brain_key="new_name")
    assert len(found) == 3
    index.cleanup()  # the renamed run still owns its collection
    assert index.total_index_size == 0


@quotes("Managing brain runs", 3)
def test_managing_brain_runs_deletes_the_record_only(blocks, runs):
    """Under "Managing brain runs": deleting a run leaves its collection."""
    (block,) = blocks
    index = runs.load_brain_results("qdrant_index")
    block.run(dataset=runs, brain_key="qdrant_index")
    assert not runs.has_brain_run("qdrant_index")
    name = index.config.collection_name
    assert index.client.count(name).count == 20


@quotes("Managing brain runs", 4)
def test_managing_brain_runs_deletes_the_collection(blocks, runs):
    """Under "Managing brain runs": ``cleanup()`` deletes just this collection."""
    (block,) = blocks
    other = runs.load_brain_results("qdrant_patches")
    index = block.run(dataset=runs, brain_key="qdrant_index")["qdrant_index"]
    left = index.client.get_collections().collections
    assert [c.name for c in left] == [other.config.collection_name]
    assert runs.has_brain_run("qdrant_index")
