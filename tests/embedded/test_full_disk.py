"""A disk that is nearly full, or full: said before the engine hits it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile

import numpy as np
import pytest
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import administration, launcher
from tests.isolation import AS_ROOT

pytestmark = pytest.mark.mount
SIZE = 256
BATCH = 2000


@pytest.fixture
def small_disk():
    """A disk of 360 MB."""
    with tempfile.TemporaryDirectory(prefix="fqd-", dir="/tmp") as place:
        mount = ["mount", "-t", "tmpfs", "-o", "size=360m,mode=1777", "tmpfs", place]
        subprocess.run([*AS_ROOT, *mount], check=True)
        try:
            yield place
        finally:
            subprocess.run([*AS_ROOT, "umount", "--lazy", place], check=True)


def fill_up(path):
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass
    assert os.statvfs(path).f_bavail == 0


def test_a_disk_that_fills_up_loses_nothing(small_disk, rng):
    store = os.path.join(small_disk, "store")
    vectors = rng.standard_normal((BATCH, SIZE)).astype(np.float32)
    written = 0
    try:
        with EmbeddedClient(store) as client:
            client.create_collection(
                "a", models.VectorParams(size=SIZE, distance=models.Distance.DOT)
            )

            def upload(first=0):
                client.upload_collection("a", vectors, ids=range(first, first + BATCH))
                return first + BATCH

            def upload_until_refused():
                nonlocal written
                while True:
                    written = upload(written)

            with pytest.raises(errors.StoreUnavailable) as said:
                upload_until_refused()
            assert "MB free and this needs 268 MB: nothing was written" in str(
                said.value
            )
            pid = client.store_info()["pid"]
            assert client.count("a").count == written > BATCH

            # somebody else takes the rest
            fill_up(f"{small_disk}/other")
            assert client.query_points("a", query=vectors[5], limit=1).points
            with pytest.raises(errors.StoreUnavailable, match="0 bytes free"):
                upload()
            assert client.store_info()["pid"] == pid  # it was not killed

            os.kill(pid, signal.SIGKILL)
            with pytest.raises(
                errors.StoreUnavailable, match="disk of the store is full"
            ):
                client.count("a")

            os.unlink(f"{small_disk}/other")
            assert client.count("a").count == written
            found = client.retrieve("a", range(BATCH), with_vectors=True)
            np.testing.assert_array_equal(np.stack([r.vector for r in found]), vectors)
            assert [c["problems"] for c in administration.verify(store)] == [[]]
            fill_up_to(small_disk, 80)
            with pytest.raises(errors.StoreUnavailable, match="the copy needs"):
                administration.back_up(store, f"{small_disk}/backup")
            assert not os.path.exists(f"{small_disk}/backup")
    finally:
        launcher.stop(store)


def fill_up_to(disk, megabytes):
    """Leaves this much free."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with open(f"{disk}/other", "wb") as file:
        file.write(bytes(free - (megabytes << 20)))


def test_an_upload_that_is_refused_midway_says_what_is_written(small_disk, rng):
    store = os.path.join(small_disk, "store")
    vectors = rng.standard_normal((200_000, SIZE)).astype(np.float32)
    try:
        with EmbeddedClient(store) as client:
            client.create_collection(
                "a", models.VectorParams(size=SIZE, distance=models.Distance.DOT)
            )

            with pytest.raises(errors.StoreUnavailable) as said:
                client.upload_collection("a", vectors, ids=range(len(vectors)))

            count = client.count("a").count
            assert 0 < count < len(vectors)
            assert f"The first {count:,} of 200,000 points are written." in str(
                said.value
            )
    finally:
        launcher.stop(store)
