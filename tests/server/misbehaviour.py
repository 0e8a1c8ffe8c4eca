"""How a stand-in server misbehaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """One way to misbehave.

    Attributes:
        at: requests it applies to, matched against ``"METHOD /path"``
        status: answer with this status
        error: Qdrant's words for it
        body: answer with these bytes, whatever they are
        headers: of the answer
        drop: close the connection without an answer
        applied: do what was asked before misbehaving
        stall: never answer, until the stand-in stops
        then: call this first
        after: serve as many matching requests well before
        times: misbehave as often, then serve well again; ``None``: for ever
    """

    at: str = ""
    status: int = 200
    error: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    applied: bool = False
    stall: bool = False
    then: Callable[[], Any] | None = None
    after: int = 0
    times: int | None = None

    def takes(self, request: str) -> bool:
        """Whether this request is one to misbehave on; counts it."""
        if not re.search(self.at, request) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True
