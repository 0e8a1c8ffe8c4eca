"""Reopen Form: the App's way back to a form whose call has failed."""

from __future__ import annotations

from typing import Any

import fiftyone.operators.types as types

from . import reopening
from .qdrant_operator import QdrantOperator


class ReopenForm(QdrantOperator):
    """Opens a form again, as it was filled in; not for people to call."""

    name = "reopen_form"
    label = "Reopen Form"
    description = "Open the form of an operator again after an error"
    risk_level = types.RiskLevel.LOW
    can_be_scheduled = False
    on_views = False
    unlisted = True

    def form(self, ctx: Any, inputs: Any) -> None:
        pass

    def run(self, ctx: Any) -> None:
        reopening.wait_for_end(ctx.params["form"])
        ctx.prompt(ctx.params["operator_uri"], params=ctx.params["filled_in"])
