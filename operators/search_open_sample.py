"""Find Similar to This: the sample that is open, asked in the search panel."""

from __future__ import annotations

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore.sessions import leave_sample

from .open_search import OpenSearch


class SearchOpenSample(OpenSearch):
    """Closes the open sample, which covers the panel, and asks with it there."""

    name = "search_open_sample"
    label = "Find Similar to This"
    description = "Search in Qdrant Search with the sample that is open"
    place = types.Places.SAMPLES_VIEWER_ACTIONS

    def run(self, ctx: Any) -> None:
        if not ctx.current_sample:
            raise ConfigError("Open a sample first")

        leave_sample(ctx.dataset.name, ctx.current_sample)
        ctx.ops.close_sample()
        # Not at once: while the sample is open, a panel opens beside it, not the grid
        ctx.trigger("@community/qdrant/open_search")
