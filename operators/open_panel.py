"""What the operators share that open a panel beside the grid."""

from __future__ import annotations

from typing import Any, ClassVar

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .qdrant_operator import ICONS, QdrantOperator


class OpenPanel(QdrantOperator):
    """Opens a panel: FiftyOne itself would open it over the grid."""

    panel: ClassVar[str]
    risk_level = types.RiskLevel.LOW
    can_be_scheduled = False
    on_views = False
    place = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS

    @property
    def config(self) -> foo.OperatorConfig:
        config = super().config
        config.dynamic = False
        return config

    def resolve_placement(self, ctx: Any) -> Any:
        icon = ICONS["dark_icon"]  # as for Query Similar
        button = types.Button(label=self.label, icon=icon, prompt=False)
        return types.Placement(self.place, button)

    def resolve_input(self, ctx: Any) -> types.Property | None:
        """Asks nothing; what is given all the same is looked at for secrets."""
        return super().resolve_input(ctx) if ctx.params else None

    def form(self, ctx: Any, inputs: Any) -> None:
        pass

    def run(self, ctx: Any) -> None:
        ctx.ops.open_panel(self.panel, layout="horizontal")
