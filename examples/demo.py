"""Search 1,797 handwritten digits with Qdrant, then look at them in the App.

Run it with ``make demo``. Environment: ``APP=0`` ends after the printed part,
``PORT`` is the App's port (5151), ``ADDRESS`` where it listens (localhost; in a
container ``0.0.0.0`` lets others in: whoever reaches the App may do all it can).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")  # a log line less

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.plugins as fop
import numpy as np
from fiftyone import ViewField as F

import digits
from fiftyone_qdrant import sync
from fiftyone_qdrant.errors import QdrantPluginError

NAME = "digits-qdrant-demo"
BRAIN_KEY = "digits"
MADE_BY = "examples/demo.py of fiftyone-qdrant"
PLUGIN = "@community/qdrant"
REPO = Path(__file__).resolve().parents[1]


def main() -> None:
    """Prepare what is missing, query, serve."""
    logging.getLogger("fiftyone").setLevel(logging.WARNING)
    fo.config.show_progress_bars = False

    title("Prepare")
    dataset = prepare_dataset()
    index = prepare_index(dataset)
    run_queries(dataset, index)
    if os.environ.get("APP", "1") != "0":
        serve(dataset)


# --- prepare: everything is made once and found again ---------------------------


def prepare_dataset() -> fo.Dataset:
    """Write the images and make the dataset, or take those of the last run."""
    data = digits.load_digits()
    folder = Path(fo.config.default_dataset_dir) / NAME
    before = len(list(folder.glob("*.png")))
    paths, seconds = timed(lambda: digits.write_images(folder, data))
    there = before == len(paths)
    step("images", f"{len(paths):,} PNGs in {short(folder)}", there, seconds)

    if fo.dataset_exists(NAME):
        dataset = fo.load_dataset(NAME)
        if dataset.info.get("made_by") != MADE_BY:
            sys.exit(f"A dataset '{NAME}' that this demo did not make is in the way.")
        if dataset.values("filepath") == [str(path) for path in paths]:
            step("dataset", f"'{NAME}', {len(dataset):,} samples", True)
            return dataset
        fo.delete_dataset(NAME)  # of images that are no longer there

    def make() -> fo.Dataset:
        dataset = fo.Dataset(NAME, persistent=True)
        dataset.info["made_by"] = MADE_BY
        dataset.add_samples(
            fo.Sample(str(path), ground_truth=fo.Classification(label=label))
            for path, label in zip(paths, data.labels, strict=True)
        )
        dataset.save()
        return dataset

    dataset, seconds = timed(make)
    step("dataset", f"'{NAME}', {len(dataset):,} samples", False, seconds)
    return dataset


def prepare_index(dataset: fo.Dataset) -> Any:
    """Embed the images and index them, or open the index of the last run."""
    digits.install_model(Path(fo.config.model_zoo_dir))
    if BRAIN_KEY in dataset.list_brain_runs():
        index, seconds = timed(lambda: dataset.load_brain_results(BRAIN_KEY))
        if (index.config.method, index.total_index_size) == ("qdrant", len(dataset)):
            describe(index, True, seconds)
            return index
        if index.config.method == "qdrant" and index.total_index_size:
            (_, done), seconds = timed(lambda: sync(index, dataset))
            step("sync", f"{done.new:,} digits were missing: added", False, seconds)
            describe(index, True, 0)
            return index
        step("index", f"'{BRAIN_KEY}' is not Qdrant's, or empty: made again", False, 0)
        dataset.delete_brain_run(BRAIN_KEY)

    model = fo.zoo.load_zoo_model(digits.MODEL_NAME)
    embeddings, seconds = timed(lambda: dataset.compute_embeddings(model))
    step("embeddings", f"{digits.MODEL_NAME}, {embeddings.shape[1]}-d", False, seconds)
    index, seconds = timed(
        lambda: fob.compute_similarity(
            dataset,
            embeddings=embeddings,
            model=digits.MODEL_NAME,  # embeds text prompts
            backend="qdrant",
            brain_key=BRAIN_KEY,
        )
    )
    describe(index, False, seconds)
    return index


def describe(index: Any, there: bool, seconds: float) -> None:
    """Say which index it is and where its vectors are."""
    config = index.config
    size = f"{index.total_index_size:,} vectors"
    step("index", f"brain key '{BRAIN_KEY}', {size}, {config.metric}", there, seconds)
    where = f"store {short(config.path)}" if config.path else "a Qdrant server"
    step("", f"collection '{config.collection_name}' in {where}")


# --- query ----------------------------------------------------------------------


def run_queries(dataset: fo.Dataset, index: Any) -> None:
    """Print what the index finds, and how long it takes."""
    query = dataset.skip(13).first()  # a three
    label = query.ground_truth.label

    title(f"Most similar to sample 13, a {label}")
    show(dataset, query.id, k=6)

    prompt = "a photo of a three"
    title(f'Most similar to the text "{prompt}"')
    show(dataset, prompt, k=6)

    title(f"Least similar to sample 13, a {label}")
    show(dataset, query.id, k=4, reverse=True)

    others = dataset.match(F("ground_truth.label") != label)
    title(f"Most similar to sample 13, within the {len(others):,} that are no {label}")
    show(others, query.id, k=4)

    title("Does the nearest neighbor show the same digit?")
    agreement(dataset, index)


def show(view: Any, query: str, **how: Any) -> None:
    """Print a query's hits and its time."""
    how["brain_key"] = BRAIN_KEY
    seconds = [
        timed(lambda: view.sort_by_similarity(query, **how))[1] for _ in range(9)
    ]
    hits = view.sort_by_similarity(query, dist_field="distance", **how)
    paths, labels, distances = hits.values(
        ["filepath", "ground_truth.label", "distance"]
    )
    view._root_dataset.delete_sample_field("distance")

    print("  rank  digit  distance  image")
    for rank, row in enumerate(zip(labels, distances, paths, strict=True), 1):
        label, distance, path = row
        print(f"  {rank:4}  {label:>5}  {distance:8.4f}  {Path(path).name}")
    print(f"  {1000 * median(seconds):.1f} ms a query (median of {len(seconds)})")


def agreement(dataset: fo.Dataset, index: Any) -> None:
    """Compare every sample's label with that of its nearest neighbor."""
    ids, labels = dataset.values(["id", "ground_truth.label"])
    label_of = dict(zip(ids, labels, strict=True))
    (neighbors, _, _), seconds = timed(
        lambda: index._kneighbors(query=ids, k=2, return_dists=True)
    )
    same: dict[str, list[bool]] = {}
    for id_, near in zip(ids, neighbors, strict=True):
        other = next(n for n in near if n != id_)
        same.setdefault(label_of[id_], []).append(label_of[other] == label_of[id_])

    digit_names = sorted(same)
    print("  digit  " + "".join(f"{name:>7}" for name in [*digit_names, "all"]))
    shares = [np.mean(same[name]) for name in digit_names]
    shares.append(np.mean([hit for hits in same.values() for hit in hits]))
    print("  agree  " + "".join(f"{share:7.1%}" for share in shares))
    print(f"  {len(ids):,} queries in {seconds:.2f} s")


# --- the App --------------------------------------------------------------------


def serve(dataset: fo.Dataset) -> None:
    """Open the App on the dataset, with the plugin, until Ctrl-C."""
    port = int(os.environ.get("PORT", "5151"))
    # FiftyOne's own default in a container is all interfaces, and it has no login
    address = os.environ.get("ADDRESS", "localhost")
    folder = None
    if PLUGIN not in {plugin.name for plugin in fop.list_plugins()}:
        folder = Path(tempfile.mkdtemp(prefix="fiftyone-plugins-"))
        (folder / "qdrant").symlink_to(REPO, target_is_directory=True)
        fo.config.plugins_dir = os.environ["FIFTYONE_PLUGINS_DIR"] = str(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        session = fo.launch_app(dataset, port=port, address=address, auto=False)
        title("The App")
        print(f"  Open   http://localhost:{session.server_port}")
        print("  Then   select an image and click the magnifier above the grid: its")
        print(f"         nearest neighbors by '{BRAIN_KEY}', or type a prompt there")
        print("  Or     press ` and run Query Similar, Create Qdrant Index, ...")
        print("  Or     click + beside the Samples tab and open Qdrant Status")
        print("  End    Ctrl-C")
        sys.stdout.flush()
        session.wait(-1)
    except KeyboardInterrupt:
        print()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


# --- printing -------------------------------------------------------------------


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the call's result and its seconds."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}")


def step(
    name: str, what: str, there: bool | None = None, seconds: float | None = None
) -> None:
    """Print one line about something made or found."""
    took = "" if there is None else "there already" if there else f"{seconds:.1f} s"
    print(f"  {name:<11}{what:<58}{took:>14}".rstrip())


def short(path: str | Path) -> str:
    """Return the path with ~ for the home folder."""
    return str(path).replace(str(Path.home()), "~", 1)


if __name__ == "__main__":
    try:
        main()
    except QdrantPluginError as exc:
        sys.exit(f"\n{type(exc).__name__}: {exc}")
