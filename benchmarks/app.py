"""How long Query Similar takes in the App's server, over HTTP as the App calls it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.contenders import BRAIN_KEY
from benchmarks.data import K
from benchmarks.measure import timed
from tests.browser.server import app_server

_URI = "@community/qdrant/query_similar"


def measure(name: str, folder: Path) -> dict[str, float]:
    """Returns the milliseconds of one execution, the first one left out."""
    asked = np.load(folder / "truth.npz")["asked"].tolist()
    with app_server(folder / "app.log") as url:

        def execute(sample_id: str) -> None:
            body = {
                "operator_uri": _URI,
                "dataset_name": name,
                "selected": [sample_id],
                "params": {"brain_key": BRAIN_KEY, "k": K},
            }
            request = urllib.request.Request(
                f"{url}/operators/execute",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                reply = json.load(answer)

            if reply.get("error") or len(reply["result"]["ids"]) != K:
                raise RuntimeError(f"It failed: {reply.get('error_message')}")

        execute(asked[0])
        times = [timed(lambda: execute(i)) for i in asked[1:]]  # noqa: B023

    return {"app_ms": 1000 * median(times)}
