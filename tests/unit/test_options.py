"""Which options of a query are wrong, and which contradict each other."""

import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.search.options import QueryOptions

WRONG = [
    ("k", {"k": 0}),
    ("k", {"k": 2.5}),
    ("k", {"k": True}),
    ("k", {"k": "5"}),
    ("aggregation", {"aggregation": "median"}),
    ("max_distance", {"max_distance": float("nan")}),
    ("max_distance", {"max_distance": "0.2"}),
    ("diversity", {"k": 5, "diversity": 1.1}),
    ("diversity", {"k": 5, "diversity": -0.1}),
    ("diversity", {"k": 5, "diversity": "much"}),
    ("hnsw_ef", {"k": 5, "hnsw_ef": 0}),
    ("hnsw_ef", {"k": 5, "hnsw_ef": 1.5}),
    ("oversampling", {"k": 5, "oversampling": 0.5}),
    ("rescore", {"k": 5, "rescore": "no"}),
]
CONTRADICTORY = [
    ("negatives", {"negatives": True, "reverse": True}),
    ("negatives", {"negatives": True, "aggregation": None}),
    ("negatives", {"negatives": True, "aggregation": "post-min"}),
    ("max_distance", {"max_distance": 0.5, "reverse": True}),
    ("diversity", {"k": 5, "diversity": 0.5, "reverse": True}),
    ("diversity", {"k": 5, "diversity": 0.5, "aggregation": "post-mean"}),
    ("diversity", {"diversity": 0.5}),
    ("diversity", {"k": 1001, "diversity": 0.5}),
    ("hnsw_ef", {"k": 5, "hnsw_ef": 64, "exact": True}),
    ("hnsw_ef", {"k": 5, "hnsw_ef": 64, "reverse": True}),
    ("hnsw_ef", {"k": 5, "hnsw_ef": 64, "aggregation": "post-max"}),
    ("hnsw_ef", {"hnsw_ef": 64}),
]


@pytest.mark.parametrize(("name", "options"), WRONG + CONTRADICTORY, ids=str)
def test_what_is_wrong_is_said_of_its_option(name, options):
    problems = QueryOptions(**options).problems()
    assert list(problems) == [name]
    with pytest.raises(ConfigError) as raised:
        QueryOptions(**options).check()

    assert str(raised.value) == problems[name]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": np.int64(5), "hnsw_ef": 64.0, "max_distance": -3, "diversity": 0},
        {"k": 1000, "diversity": np.float32(1), "negatives": True, "exact": True},
        {"reverse": True, "exact": True, "aggregation": None},
        {"max_distance": 0.5, "aggregation": "post-mean"},
    ],
    ids=str,
)
def test_what_goes_together_is_accepted(options):
    QueryOptions(**options).check()
