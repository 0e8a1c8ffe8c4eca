"""A server that goes away in the middle of a long job, and comes back, or does not."""

from __future__ import annotations

import logging
import re

import pytest

from fiftyone_qdrant.errors import (
    ConfigError,
    ConnectionFailed,
    IngestCancelled,
    IngestInterrupted,
)
from fiftyone_qdrant.ingest import batches, ingest
from fiftyone_qdrant.qdrant import retries
from fiftyone_qdrant.status import jobs
from tests.server.misbehaviour import Fault

WRITE = "PUT /collections/points/points"


@pytest.fixture
def embedded(samples, vectors, monkeypatch, server):
    """The samples, ingested in batches of 20, with their vectors in a field."""
    monkeypatch.setattr(batches, "_BATCH", 20)
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", server.url)
    samples.set_values("vector", vectors.tolist())
    return samples


@pytest.fixture
def away(server, monkeypatch, pauses):
    """``away(seconds, during=f, **fault)``: from the second write on, for so long.

    ``during`` is called at each pause after the first 9 seconds.
    """

    def leave(seconds, during, fault):
        server.faults = [Fault(**fault)]

        def sleep(pause):
            pauses.append(pause)
            if sum(pauses) > 9:
                during()
            if sum(pauses) >= seconds:
                server.faults = []

        monkeypatch.setattr(retries.time, "sleep", sleep)

    def at_second_write(seconds, during=lambda: None, **fault):
        written = []

        def begin():
            written.append(1)
            if len(written) == 2:
                leave(seconds, during, fault or {"drop": True})

        server.faults = [Fault(WRITE, status=200, then=begin)]

    return at_second_write


def create(samples, **kwargs):
    return ingest.create_index(
        samples, "index", "vector", collection_name="points", **kwargs
    )


AWAY = {
    "drops connections": {"drop": True},
    "502 of a proxy": {"status": 502, "body": b"<html>"},
    "503": {"status": 503},
    "a node that is missing": {
        "status": 500,
        "error": "Service internal error: 1 of 1 read operations failed",
    },
    "429 for a minute": {"status": 429, "headers": {"Retry-After": "45"}},
}


@pytest.mark.parametrize("how", AWAY)
def test_an_ingest_outlives_a_server_that_is_away_for_minutes(
    how, embedded, server, away, pauses, caplog
):
    away(240, **AWAY[how])
    with caplog.at_level(logging.WARNING):
        _, done = create(embedded)
    assert (done.new, server.count("points")) == (60, 60)
    assert 240 <= sum(pauses) < 300
    assert caplog.text.count("Waiting for it, for 600 s at most") == 1


def test_what_is_waited_for_is_seen_in_the_bar_and_by_other_processes(
    embedded, away, monkeypatch
):
    labels, seen = [], []

    def tell(bar):
        labels.append(
            jobs.progress_label(
                bar.iteration, bar.total, 1, getattr(bar, "waiting", None)
            )
        )

    def look():
        (report,) = reports
        report._write()
        seen.extend(job.label for job in jobs.running_jobs(embedded))

    class Seen(jobs.Report):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            reports.append(self)

    reports = []
    monkeypatch.setattr(jobs, "Report", Seen)
    away(20, during=look)
    create(embedded, progress=tell)
    said = "20 of 60 · waiting: Qdrant at .* closed the connection"
    assert any(re.search(said, label) for label in labels)
    assert any(re.search(said, label) for label in seen)
    assert "waiting" not in labels[-1]


def test_a_wait_can_be_cancelled(embedded, server, away, pauses):
    def cancel():
        for job in jobs.running_jobs(embedded):
            jobs.cancel(embedded, job.id)

    away(500, during=cancel)
    with pytest.raises(IngestCancelled, match="20 are in index"):
        create(embedded)
    assert sum(pauses) < 60


def test_a_wait_ends(embedded, server, away, pauses, monkeypatch):
    monkeypatch.setenv("FIFTYONE_QDRANT_PATIENCE", "100")
    away(10_000)
    with pytest.raises(IngestInterrupted, match=r"closed .* it again to resume"):
        create(embedded)
    assert 80 < sum(pauses) < 150  # what passes otherwise counts as well


def test_before_the_first_batch_it_is_said_at_once(embedded, server, pauses):
    server.faults = [Fault(WRITE, drop=True)]
    with pytest.raises(ConnectionFailed, match="closed the connection"):
        create(embedded)
    assert sum(pauses) < 10


def test_what_will_not_pass_is_not_waited_for(embedded, server, away, pauses):
    away(500, status=403, error="Forbidden")
    with pytest.raises(IngestInterrupted, match="refused the API key"):
        create(embedded)
    assert sum(pauses) < 10


def test_a_wait_ends_when_the_server_is_back_and_refuses(
    embedded, server, away, pauses
):
    def refuse():
        server.faults = [Fault("", 403, error="Forbidden")]

    away(10_000, during=refuse)
    with pytest.raises(IngestInterrupted, match="refused the API key"):
        create(embedded)
    assert sum(pauses) < 30


@pytest.mark.parametrize("given", ["soon", "-1", "inf", "nan"])
def test_patience_is_a_number_of_seconds(given, monkeypatch):
    monkeypatch.setenv("FIFTYONE_QDRANT_PATIENCE", given)
    with pytest.raises(ConfigError, match="must be a number of seconds"):
        retries.seconds_of_patience()
