"""Rename Index: another brain key, the same collection."""

from __future__ import annotations

import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.curate.duplicates import kept_duplicates
from tests.plugin.calls import call, operator


def test_an_index_is_renamed(indexed):
    call("find_near_duplicates", indexed, brain_key="pixels", threshold=0.1)
    done = operator("rename_index")(indexed, "pixels", "by_pixels").result
    assert done["brain_key"] == "by_pixels"
    indexed.reload()
    assert indexed.list_brain_runs() == ["by_pixels"]
    found = call(
        "query_similar", indexed, brain_key="by_pixels", query=indexed.first().id
    )
    assert found["ids"][0] == indexed.first().id
    assert kept_duplicates(indexed, "by_pixels").brain_key == "by_pixels"


@pytest.mark.parametrize("key", ["1bad", "pixels"])
def test_a_bad_or_taken_key_is_refused_before_anything_is_done(indexed, key):
    with pytest.raises(ExecutionError, match=key):
        call("rename_index", indexed, brain_key="pixels", new_brain_key=key)

    indexed.reload()
    assert indexed.list_brain_runs() == ["pixels"]
    assert fo.dataset_exists(indexed.name)
