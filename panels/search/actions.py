"""What is done with the hits that are shown."""

from typing import Any

from .frame import Frame


class Actions(Frame):
    """The section."""

    def show_actions(self, panel: Any, ctx: Any) -> None:
        """Adds the buttons."""
