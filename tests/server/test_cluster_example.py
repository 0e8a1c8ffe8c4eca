"""examples/cluster/ as far as it goes without Docker: the file, and the script."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from fiftyone_qdrant.qdrant import retries
from tests.isolation import REPO
from tests.server.misbehaviour import Fault

FOLDER = REPO / "examples" / "cluster"
TOO_FEW = "Service internal error: 1 out of 2 shards failed to apply on all replicas"


@pytest.fixture
def cluster():
    spec = importlib.util.spec_from_file_location("cluster", FOLDER / "cluster.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_compose_file_has_three_nodes():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert sorted(services) == ["node-1", "node-2", "node-3"]
    ports = [p for s in services.values() for p in s["ports"]]
    assert len({p.rsplit(":", 1)[0] for p in ports}) == 6
    for name, service in services.items():
        assert service["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
        assert service["command"][-2:] == ["--uri", f"http://{name}:6335"]
        assert ("--bootstrap" in service["command"]) == (name != "node-1")
        assert ":v1." in service["image"]
        assert all(p.startswith("127.0.0.1:") for p in service["ports"])
        (volume,) = service["volumes"]
        assert volume == f"{name}:/qdrant/storage"


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_the_script_outlives_a_node(cluster, server, monkeypatch, capsys):
    said = []

    def compose(*arguments):
        said.append(arguments[0])
        down = arguments[0] == "stop"
        server.faults = [Fault("PUT .*/points$", 500, TOO_FEW)] if down else []

    monkeypatch.setattr(retries, "READ_PAUSES", ())
    monkeypatch.setattr(cluster, "compose", compose)
    monkeypatch.setattr(cluster, "URL", server.url)
    server.peers = 3
    cluster.main()
    assert said == ["up", "stop", "start"]
    assert server.names() == []  # it tidies up
    told = capsys.readouterr().out
    for title in (
        "Three nodes: 1797",
        "Two nodes: 1797",
        "again, written at attempt 1",
    ):
        assert title in told
    assert "writes are refused, as asked for: Too few replicas" in told
    assert told.count("3 peers, 0 of them not reached") == 3
    answers = {line for line in told.splitlines() if "nearest" in line}
    assert len({a.split(" in ")[0] for a in answers}) == 1


def test_the_script_calls_docker_compose(cluster, monkeypatch):
    called = []
    monkeypatch.setattr(cluster.subprocess, "run", lambda c, check: called.append(c))
    cluster.compose("stop", "node-3")
    assert called == [
        ["docker", "compose", "--file", str(FOLDER / "compose.yaml"), "stop", "node-3"]
    ]
    assert Path(called[0][3]).exists()
