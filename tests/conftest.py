"""Fixtures for all tests, and which tests run.

Importing this file isolates the process (see ``tests/isolation.py``), so nothing
above that line may import FiftyOne.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zlib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import digits as digits_package
from tests import isolation

WORLD = isolation.start()
SEED = int(os.environ.get("FQ_TEST_SEED", "20251101"))
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)

hypothesis.settings.register_profile(
    "repo", deadline=None, database=None, print_blob=True
)
hypothesis.settings.load_profile("repo")
# in this order; the longest files come early, or a worker is left alone with one, and
# what crowds the machine does not run beside the browser
_SLOW_FOLDERS = ("browser", "library", "soak", "differential", "embedded", "plugin")
_QUICK_FOLDERS = ("unit", "server", "library")
_not_run = pytest.StashKey[list[str]]()
_store_numbers = count()


# --- which tests run, and what is said about it ---------------------------------


def pytest_report_header(config):
    def installed(name):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} -"

    names = ["fiftyone", "fiftyone-brain", "qdrant-client", "qdrant-edge-py"]
    return [
        ", ".join([*map(installed, names), f"mongod {WORLD.database}"]),
        f"random data: FQ_TEST_SEED={SEED}",
        f"Qdrant server: {WORLD.qdrant_url or 'none given (QDRANT_URL)'}; "
        f"browser: {CHROMIUM or 'none found'}",
    ]


def pytest_itemcollected(item):
    if _is_quick(item):
        item.add_marker(pytest.mark.quick)


def pytest_collection_modifyitems(config, items):
    """Quick ones first; leave out what cannot run here, and keep count of it."""
    items.sort(key=_slowness)
    reasons = {}
    if any(i.get_closest_marker("mount") for i in items) and not _mounts():
        reasons["mount"] = "no disk can be mounted here (root, or sudo -n, can)"
    if WORLD.qdrant_url is None:
        reasons["server"] = "no Qdrant server was given (QDRANT_URL)"
    if not all(map(find_spec, ("s3fs", "moto", "flask", "flask_cors"))):
        reasons["s3"] = "no S3 server: pip install s3fs 'moto[s3]' flask flask-cors"
    if CHROMIUM is None:
        if os.environ.get("CI") and any(i.get_closest_marker("browser") for i in items):
            raise pytest.UsageError("The browser tests need Chromium, found none.")
        reasons["browser"] = "no Chromium or Chrome was found"

    kept, left_out, said = [], [], []
    for item in items:
        missing = any(item.get_closest_marker(mark) for mark in reasons)
        (left_out if missing else kept).append(item)
    for mark, reason in reasons.items():
        number = sum(i.get_closest_marker(mark) is not None for i in left_out)
        if number:
            said.append(f"{number} tests marked '{mark}' were not run: {reason}")
    config.stash[_not_run] = said
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _slowness(item):
    """Where its folder comes: first those that take seconds, see _SLOW_FOLDERS."""
    (folder, *_) = item.path.relative_to(isolation.REPO / "tests").parts
    return _SLOW_FOLDERS.index(folder) if folder in _SLOW_FOLDERS else -1


def _is_quick(item):
    """Most of what a change breaks is seen without the App, and on one engine."""
    folder, *_ = item.path.relative_to(isolation.REPO / "tests").parts
    params = item.callspec.params if hasattr(item, "callspec") else {}
    engine = params.get("place", "embedded")  # see tests/library/conftest.py
    slow = item.get_closest_marker("slow") is not None
    return folder in _QUICK_FOLDERS and engine == "embedded" and not slow


def _mounts():
    """Whether ``tests/embedded/test_full_disk.py`` can have a disk of its own."""
    with tempfile.TemporaryDirectory(prefix="fqd-", dir="/tmp") as place:
        mount = [*isolation.AS_ROOT, "mount", "-t", "tmpfs", "tmpfs", place]
        if (
            not shutil.which(mount[0])
            or subprocess.run(mount, capture_output=True).returncode
        ):
            return False
        subprocess.run([*isolation.AS_ROOT, "umount", "--lazy", place], check=True)
    return True


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # this is a worker of pytest-xdist
        session.config.workeroutput["not_run"] = session.config.stash.get(_not_run, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    if hasattr(node, "workeroutput"):  # else it crashed
        node.config.stash[_not_run] = node.workeroutput["not_run"]


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(_not_run, []):
        terminalreporter.write_line(line, yellow=True)


def recorded(terminalreporter, name):
    """What tests gave ``record_property`` under a name, in all processes."""
    reports = [r for each in terminalreporter.stats.values() for r in each]
    properties = [p for r in reports if _is_last(r) for p in r.user_properties]
    return [value for key, value in properties if key == name]


def _is_last(report):
    return getattr(report, "when", None) == "teardown"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and "rng" in getattr(item, "fixturenames", ()):
        report.sections.append(("random data", f"FQ_TEST_SEED={SEED} repeats it"))
    return report


# --- random and real data -------------------------------------------------------


@pytest.fixture
def rng(request) -> np.random.Generator:
    """A generator that gives each test its own numbers, the same in each run."""
    return np.random.default_rng([SEED, zlib.crc32(request.node.nodeid.encode())])


@pytest.fixture(scope="session")
def digits() -> digits_package.Digits:
    """1,797 real digits: ``.vectors`` float32 (1797, 64), ``.labels`` strings."""
    return digits_package.load_digits()


@pytest.fixture(scope="session")
def digit_images(digits) -> list[Path]:
    """The digits as 64 x 64 PNGs, in the same order."""
    return digits_package.write_images(WORLD.images / "digits", digits)


@pytest.fixture(scope="session")
def digits_model() -> str:
    """Name of a zoo model that embeds images and prompts, in any process."""
    import fiftyone as fo

    digits_package.install_model(Path(fo.config.model_zoo_dir))
    return digits_package.MODEL_NAME


@pytest.fixture
def documented_models(digits_model, monkeypatch):
    """Let the names in the documentation's examples load the digits model.

    Manifests cannot replace a built-in model of the zoo (its entry comes first),
    so the model is put where the zoo keeps those it has loaded: this process only.
    """
    import fiftyone as fo
    import fiftyone.zoo as foz
    import fiftyone.zoo.models as fozm

    monkeypatch.setattr(fo.config, "requirement_error_level", 2)  # nor their packages
    model = foz.load_zoo_model(digits_model)
    for name in ("clip-vit-base32-torch", "mobilenet-v2-imagenet-torch"):
        fozm._MODELS[name] = model
    yield model
    for name in ("clip-vit-base32-torch", "mobilenet-v2-imagenet-torch"):
        fozm._MODELS.pop(name, None)


# --- datasets -------------------------------------------------------------------


@pytest.fixture
def make_dataset(digits, digit_images):
    """``make_dataset(n=200, patches=False, name=None)`` -> a FiftyOne dataset.

    Samples are the first ``n`` digits, in order, with a ``ground_truth``
    Classification. With ``patches=True`` each picture shows up to four digits and
    ``detections`` annotates one to four of them; each fifth sample has none
    (alternately an empty list and no value at all). The datasets are deleted
    after the test.
    """
    import fiftyone as fo

    made = []

    def make(n: int = 200, patches: bool = False, name: str | None = None):
        dataset = fo.Dataset(name)
        made.append(dataset.name)
        truths = [fo.Classification(label=label) for label in digits.labels[:n]]
        if patches:
            scenes = digits_package.write_scenes(WORLD.images / "scenes", digits, n)
            dataset.add_sample_field(
                "detections", fo.EmbeddedDocumentField, fo.Detections
            )
            samples = [
                fo.Sample(str(s.path), ground_truth=t, detections=_detections(i, s))
                for i, (s, t) in enumerate(zip(scenes, truths, strict=True))
            ]
        else:
            samples = [
                fo.Sample(str(path), ground_truth=truth)
                for path, truth in zip(digit_images[:n], truths, strict=True)
            ]
        dataset.add_samples(samples)
        return dataset

    yield make
    for name in made:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)


@pytest.fixture
def dataset(make_dataset):
    """A dataset of 200 digits."""
    return make_dataset()


@pytest.fixture(scope="session")
def _quickstart_folder(digits):
    """The zoo's "quickstart", as if it had been downloaded, with our pictures."""
    import fiftyone as fo
    import fiftyone.types as fot
    import fiftyone.zoo as foz

    folder = Path(fo.config.dataset_zoo_dir, "quickstart")
    scenes = digits_package.write_scenes(WORLD.images / "scenes", digits, 60)
    dataset = fo.Dataset()
    samples = []
    for i, scene in enumerate(scenes):
        sample = fo.Sample(str(scene.path), ground_truth=_detections(i, scene))
        sample["predictions"] = _detections(i, scene, confidence=0.9)
        sample["uniqueness"] = i / len(scenes)
        samples.append(sample)
    dataset.add_samples(samples)
    dataset.export(str(folder), dataset_type=fot.FiftyOneDataset)
    dataset.delete()
    zoo_dataset = foz.get_zoo_dataset("quickstart")
    info = foz.ZooDatasetInfo(zoo_dataset, fot.FiftyOneDataset(), len(scenes))
    info.write_json(zoo_dataset.get_info_path(str(folder)))


@pytest.fixture
def quickstart(_quickstart_folder):
    """Let ``foz.load_zoo_dataset("quickstart")`` give 60 annotated pictures."""
    import fiftyone as fo

    yield "quickstart"
    if fo.dataset_exists("quickstart"):
        fo.delete_dataset("quickstart")


def _detections(i, scene, **attributes):
    import fiftyone as fo

    if not scene.labels and i % 2:
        return None
    return fo.Detections(
        detections=[
            fo.Detection(label=label, bounding_box=box, **attributes)
            for label, box in zip(scene.labels, scene.boxes, strict=True)
        ]
    )


# --- Qdrant ---------------------------------------------------------------------


def stop_store(path: Path) -> None:
    """End the process that owns the embedded store at ``path``, if one does."""
    isolation.end_processes_below(path)


@pytest.fixture
def store_path() -> Path:
    """A fresh folder for an embedded store; its owner process ends with the test."""
    path = WORLD.root / f"s{next(_store_numbers):03d}"
    yield path
    stop_store(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server_url(request) -> str:
    """URL of a Qdrant server. Only for tests marked ``server``."""
    if request.node.get_closest_marker("server") is None:
        pytest.fail("a test that uses server_url needs @pytest.mark.server")
    return WORLD.qdrant_url


# --- browser --------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser's program. Only for tests marked ``browser``."""
    assert CHROMIUM is not None, "mark the test with @pytest.mark.browser"
    return CHROMIUM
