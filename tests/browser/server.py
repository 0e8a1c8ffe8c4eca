"""The App's server, as a process of its own: no session, no leftovers, a readable log.

``fo.launch_app()`` would keep selections and open panels from page to page, and hide
what the server prints.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests import isolation


@contextlib.contextmanager
def app_server(log: Path) -> Iterator[str]:
    """Serve the App in this process's world; yields its URL, ends it afterwards."""
    (package,) = importlib.util.find_spec("fiftyone").submodule_search_locations
    folder = Path(package, "server")
    port = isolation.free_port()
    command = [sys.executable, str(folder / "main.py")]
    command += ["--port", str(port), "--address", "127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "FIFTYONE_DISABLE_SERVICES": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we end it afterwards
            preexec_fn=isolation._die_with_parent if sys.platform == "linux" else None,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(f"{url}/fiftyone", process, log)
        yield url
    finally:
        process.kill()  # asked politely it waits for its pages' streams
        process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
            return
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"The App's server did not start:\n{log.read_text()[-3000:]}")
