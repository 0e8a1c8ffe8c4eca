"""Tell News: what ended in the background while nobody looked, when a dataset opens."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.ingest.watching import watch
from fiftyone_qdrant.status.background import news

from .in_background import is_asked_in_app
from .qdrant_operator import QdrantOperator


class TellNews(QdrantOperator):
    """Runs by itself whenever a dataset is opened in the App."""

    name = "tell_news"
    label = "Tell News"
    description = "Say what ended in the background meanwhile"
    risk_level = types.RiskLevel.LOW
    can_be_scheduled = False
    unlisted = True

    @property
    def config(self) -> foo.OperatorConfig:
        config = super().config
        config.on_dataset_open = True
        return config

    def form(self, ctx: Any, inputs: Any) -> None:
        pass

    def run(self, ctx: Any) -> None:
        if ctx.dataset is None:
            return

        if is_asked_in_app(ctx):
            watch(ctx.dataset)

        for task in news(ctx.dataset):
            ctx.ops.notify(task.message, variant=task.severity)
