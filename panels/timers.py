"""When a panel comes back by itself."""

from typing import Any

import fiftyone.operators.types as types


def once(panel: Any, name: str, milliseconds: int, handler: Any) -> None:
    """Adds a timer that fires one time: another name makes another."""
    timer = types.TimerView(timeout=milliseconds, on_timeout=handler)
    panel.view(name, timer)


def again_and_again(panel: Any, name: str, milliseconds: int, handler: Any) -> None:
    """Adds a timer that fires for as long as it is drawn."""
    timer = types.TimerView(interval=milliseconds, on_interval=handler)
    panel.view(name, timer)
