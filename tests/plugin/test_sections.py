"""Panels are made of sections: what one of them defines is no other's by accident."""

from __future__ import annotations

import inspect
import itertools
from collections import defaultdict

import fiftyone.operators as foo
import pytest


def clashes(cls):
    """The names that a section takes from another one without going on to it."""
    found = defaultdict(list)
    for section in cls.__mro__:
        if ".panels" in section.__module__:
            for name, method in vars(section).items():
                if inspect.isfunction(method):
                    found[name].append((section, method))

    return {
        name
        for name, definitions in found.items()
        for (above, method), (below, _) in itertools.pairwise(definitions)
        if not issubclass(above, below) and "super()" not in inspect.getsource(method)
    }


@pytest.mark.parametrize("panel", ["qdrant_search", "qdrant_curate", "qdrant_status"])
def test_a_section_replaces_no_method_of_another(panel, monkeypatch):
    cls = type(foo.get_operator(f"@community/qdrant/{panel}"))
    assert clashes(cls) == set()

    above, below = [s for s in cls.__mro__ if s in cls.__bases__][:2]
    own = {n: m for n, m in vars(below).items() if inspect.isfunction(m)}
    name = next(n for n, m in own.items() if "super()" not in inspect.getsource(m))
    monkeypatch.setattr(above, name, vars(below)[name], raising=False)
    assert clashes(cls) == {name}
