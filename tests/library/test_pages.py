"""The examples of the pages under docs/ run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import fiftyone.brain as fob
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["search", "curate", "tune", "move", "scale"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore")  # matplotlib's, without a screen
def test_the_examples_of_a_page_run(page, make_embedded, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.S)
    assert blocks
    dataset = make_embedded(120)
    dataset.set_values("new_embeddings", list(digits.vectors[:120]))
    dataset.limit(20).tag_samples("labelled")
    fob.compute_similarity(
        dataset, embeddings="vector", backend="qdrant", brain_key="index"
    )
    names = {"dataset": dataset}
    for block in blocks:
        exec(block.replace("/data/qdrant", str(tmp_path / "store")), names)  # noqa: S102
