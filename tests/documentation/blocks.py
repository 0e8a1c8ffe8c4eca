"""The documentation's code blocks, as they stand in ``blocks.txt``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).with_name("blocks.txt")
_FENCE = re.compile(
    r"^## (?P<heading>[^\n]+)$|^```python\n(?P<code>.*?)^```$", re.M | re.S
)
_quoted: set[Block] = set()


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        heading: the heading it stands under
        number: 0 for the first block under that heading
        code: its text
    """

    heading: str
    number: int
    code: str

    @property
    def parameters(self) -> Any:
        """Returns the value of a JSON block."""
        return json.loads(self.code)

    @property
    def exports(self) -> dict[str, str]:
        """Returns the environment variables that a shell block sets."""
        lines = re.findall(r"^export (\w+)=(.*)$", self.code, re.M)
        assert lines
        return dict(lines)

    def filled(self, *arguments: str) -> str:
        """Returns the code, each ``...`` of it replaced by one of ``arguments``."""
        assert self.code.count("...") == len(arguments)
        code = self.code
        for argument in arguments:
            code = code.replace("...", argument, 1)
        return code

    def run(self, code: str | None = None, **names: Any) -> dict[str, Any]:
        """Runs the block, or a part or filling of it, and returns its variables."""
        where = f"<{self.heading}, block {self.number}>"
        exec(compile(code or self.code, where, "exec"), names)  # noqa: S102
        return names


def read_blocks() -> list[Block]:
    """Returns all blocks, in order."""
    blocks: list[Block] = []
    heading, number = "", 0
    for match in _FENCE.finditer(FILE.read_text()):
        if match["heading"]:
            heading, number = match["heading"], 0
        else:
            blocks.append(Block(heading, number, match["code"]))
            number += 1
    return blocks


def quotes(heading: str, *numbers: int) -> Any:
    """Gives a test the ``blocks`` it runs: these of a heading, by default its first.

    Every block of the documentation must be quoted by some test.
    """
    wanted = numbers or (0,)
    found = {b.number: b for b in read_blocks() if b.heading == heading}
    blocks = [found[n] for n in wanted]
    _quoted.update(blocks)
    name = f"{heading} {','.join(map(str, wanted))}" if numbers else heading
    return pytest.mark.parametrize("blocks", [pytest.param(blocks, id=name)])


def unquoted() -> list[Block]:
    """Returns the blocks that no test quotes."""
    return [b for b in read_blocks() if b not in _quoted]
