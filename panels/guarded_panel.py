"""A panel that stays: whatever goes wrong in an event is said in it."""

import logging
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.errors import QdrantPluginError

logger = logging.getLogger(__name__)


class NothingToSay(Exception):
    """Raised by an event that changes nothing of what the App shows."""


class GuardedPanel(foo.Panel):
    """Base class: an exception in an event would replace the panel by a traceback."""

    def execute(self, ctx: Any) -> Any:
        try:
            if ctx.panel.state.problem:  # setting state has FiftyOne send events again
                ctx.panel.state.problem = None

            return super().execute(ctx)
        except NothingToSay:
            pass
        except QdrantPluginError as e:
            self._say(ctx, str(e))
        except Exception as e:
            logger.exception("%s failed", ctx.params.get("__method__"))
            self._say(ctx, f"Something unexpected happened: {type(e).__name__}: {e}")

        return None

    def _say(self, ctx: Any, problem: str | None) -> None:
        ctx.panel.state.problem = problem
        try:
            shown = self.render(ctx)
        except Exception:
            logger.exception("The panel could not be drawn")
            only = types.Object()
            show_problem(only, problem)
            shown = types.Property(only)

        ctx.ops.show_panel_output(shown)


def show_problem(panel: Any, problem: str | None) -> None:
    """Adds what went wrong, if anything did, to a panel."""
    if problem:
        alert = types.AlertView(
            severity="error", label="That did not work", description=problem
        )
        panel.view("problem_alert", alert)
