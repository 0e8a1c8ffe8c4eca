"""No code of the documentation is left out or changed."""

from __future__ import annotations

import hashlib

from tests.documentation.blocks import FILE, read_blocks, unquoted

DIGEST = "8acddb49bd3c95b801ce4f072a09b66d4c3c22a4e245e27628ca019cf0e03052"


def test_every_block_is_quoted_by_a_test():
    from tests.documentation import (  # noqa: F401
        test_brain_runs,
        test_examples,
        test_setup,
    )

    assert len(read_blocks()) == 27
    assert unquoted() == []


def test_the_blocks_are_those_of_the_documentation():
    """Nobody, and no formatter, edits them to make a test pass."""
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == DIGEST
