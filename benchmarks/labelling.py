"""How well doubtful labels are found, and samples to label chosen; and how fast.

``python -m benchmarks.labelling [--points 20000] [--only labels selection scale]``
prints tables, and writes them to docs/benchmarks/labelling.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import isolation

if __name__ == "__main__":
    WORLD = isolation.start()  # before FiftyOne is imported

import numpy as np

from benchmarks.data import make_vectors
from benchmarks.overlapping import overlapping_classes

SEED = 51
RUNS = 3
CHOSEN = 500
_PACKAGES = ("cleanlab[datalab]==2.9.0", "scikit-learn")
_CLEANLAB = """
import sys, numpy as np
from cleanlab import Datalab
d = np.load(sys.argv[1])
lab = Datalab({"label": d["given"].tolist()}, label_name="label", verbosity=0)
lab.find_issues(features=d["vectors"], issue_types={"label": {"k": 15}})
found = lab.get_issues("label")
np.savez(sys.argv[2], doubt=1 - found["label_score"].to_numpy(),
         said=found["predicted_label"].to_numpy())
"""

Set = tuple[np.ndarray, np.ndarray]
"""Vectors, and the class of each as an int."""


def digits() -> Set:
    """Returns 1,797 real digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data.astype(np.float32), found.target


def overlapping() -> Set:
    """Returns 6,000 vectors of 20 overlapping classes."""
    return overlapping_classes(np.random.default_rng(SEED))


def manifold() -> Set:
    """Returns 10,000 vectors that bend in three directions."""
    rng = np.random.default_rng(SEED)
    places = rng.uniform(-1, 1, (10_000, 3))
    turned = places @ (2 * rng.normal(size=(3, 64))) + rng.uniform(0, 2 * np.pi, 64)
    return np.cos(turned).astype(np.float32), (places[:, 0] > 0).astype(int)


def long_tail() -> Set:
    """Returns 10,000 vectors of 200 classes, the largest 200 times the smallest."""
    rng = np.random.default_rng(SEED)
    shares = 1 / np.arange(1, 201)
    classes = rng.choice(200, 10_000, p=shares / shares.sum())
    centres = rng.normal(size=(200, 128))[classes]
    return (centres + 0.3 * rng.normal(size=(10_000, 128))).astype(np.float32), classes


def indexed(vectors: np.ndarray, labels: Any) -> Any:
    """Returns a dataset with an index of vectors and a field of labels, "truth"."""
    import fiftyone as fo
    import fiftyone.brain as fob

    import fiftyone_qdrant  # noqa: F401

    dataset = fo.Dataset()
    dataset.add_samples(
        [
            fo.Sample(f"{i}.png", truth=fo.Classification(label=str(label)))
            for i, label in enumerate(labels)
        ],
        validate=False,
    )
    fob.compute_similarity(
        dataset, backend="qdrant", brain_key="index", embeddings=vectors
    )
    return dataset


def flipped(labels: np.ndarray, rng: np.random.Generator) -> tuple[Any, Any]:
    """Returns labels of which 5 % are wrong, and which."""
    count = labels.max() + 1
    wrong = np.zeros(len(labels), bool)
    wrong[rng.choice(len(labels), len(labels) // 20, replace=False)] = True
    given = labels.copy()
    given[wrong] = (given[wrong] + rng.integers(1, count, wrong.sum())) % count
    return given, wrong


def ours(dataset: Any, vectors: np.ndarray, given: np.ndarray) -> Set:
    """Returns how doubtful each label is, and what the neighbors say."""
    from fiftyone_qdrant import audit_labels

    audit = audit_labels(dataset, "index", "truth")
    found = {
        i: (score, int(said))
        for i, score, said in zip(
            audit.ids, audit.scores, audit.suggestions, strict=True
        )
    }
    rows = [found[i] for i in dataset.values("id")]
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])


def mistakenness(dataset: Any, vectors: np.ndarray, given: np.ndarray) -> Set:
    """Returns FiftyOne's, of what scikit-learn's nearest neighbors predict.

    Ten times each tenth is predicted by the rest: it needs the predictions of a model.
    """
    import fiftyone as fo
    import fiftyone.brain as fob
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(15, metric="cosine", weights="distance")
    shares = cross_val_predict(model, vectors, given, cv=10, method="predict_proba")
    said = shares.argmax(axis=1)
    logits = np.log(np.maximum(shares, 1e-6))
    predictions = [
        fo.Classification(label=str(label), confidence=float(row.max()), logits=row_log)
        for label, row, row_log in zip(said, shares, logits, strict=True)
    ]
    dataset.set_values("predicted", predictions)
    fob.compute_mistakenness(dataset, "predicted", label_field="truth", use_logits=True)
    return np.array(dataset.values("mistakenness")), said


def cleanlab(dataset: Any, vectors: np.ndarray, given: np.ndarray) -> Set:
    """Returns Cleanlab's, by the nearest neighbors of the same vectors."""
    root = WORLD.root / "cleanlab"
    python = root / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", root], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", *_PACKAGES]
        subprocess.run(pip, check=True)

    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # as by cosine
    into, out = WORLD.root / "in.npz", WORLD.root / "out.npz"
    np.savez(into, vectors=vectors, given=given)
    subprocess.run(
        [python, "-c", _CLEANLAB, into, out], check=True, capture_output=True
    )
    found = np.load(out)
    return found["doubt"], found["said"]


METHODS: dict[str, Callable[[Any, np.ndarray, np.ndarray], Set]] = {
    "`audit_labels`": ours,
    "Cleanlab 2.9, 15 neighbors": cleanlab,
    "FiftyOne's mistakenness": mistakenness,
}


def labels_table() -> str:
    """Returns how well each finds 5 % of wrong labels, the mean of three runs."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    lines = [
        "| data | method | AUROC | average precision | right among as many as are wrong"
        " | suggestion right | seconds |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, (vectors, labels) in {
        "digits": digits(),
        "20 overlapping classes": overlapping(),
    }.items():
        found: dict[str, list[tuple[float, ...]]] = {m: [] for m in METHODS}
        for run in range(RUNS):
            given, wrong = flipped(labels, np.random.default_rng([SEED, run]))
            dataset = indexed(vectors, given)
            for method, judge in METHODS.items():
                if method.startswith("Cleanlab"):
                    judge(dataset, vectors[:200], given[:200] % 2)  # makes its venv

                begun = time.perf_counter()
                doubt, said = judge(dataset, vectors, given)
                seconds = time.perf_counter() - begun
                first = np.argsort(-doubt, kind="stable")[: wrong.sum()]
                found[method].append(
                    (
                        roc_auc_score(wrong, doubt),
                        average_precision_score(wrong, doubt),
                        wrong[first].mean(),
                        (said[wrong] == labels[wrong]).mean(),
                        seconds,
                    )
                )

            dataset.load_brain_results("index").cleanup()
            dataset.delete()

        for method, rows in found.items():
            figures = np.mean(rows, axis=0)
            cells = " | ".join(f"{v:.3f}" for v in figures[:4])
            lines.append(f"| {name} | {method} | {cells} | {figures[4]:.1f} |")

    return "\n".join(lines)


def selection_table() -> str:
    """Returns how well 500 chosen cover what there is, beside as many at random."""
    from fiftyone_qdrant import select_samples

    lines = [
        "| data | strategy | largest distance, of random's | mean distance, of random's"
        " | classes present | at random | seconds |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    ways: dict[str, dict[str, Any]] = {
        "coverage": {},
        "coverage and typical, 1 : 0.5": {"strategy": {"coverage": 1, "typical": 0.5}},
        "coverage, balanced": {"balance": "truth"},
    }
    for name, (vectors, labels) in {
        "digits": digits(),
        "200 classes, a long tail": long_tail(),
        "three bent directions": manifold(),
        "20 overlapping classes": overlapping(),
    }.items():
        dataset = indexed(vectors, labels)
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        rng = np.random.default_rng(SEED)
        by_chance = [
            covered(units, labels, rng.choice(len(units), CHOSEN, replace=False))
            for _ in range(RUNS)
        ]
        largest, mean, present = np.mean(by_chance, axis=0)
        row_of = {i: row for row, i in enumerate(dataset.values("id"))}
        for way, how in ways.items():
            begun = time.perf_counter()
            found = select_samples(dataset, "index", CHOSEN, **how)
            seconds = time.perf_counter() - begun
            mine = covered(units, labels, [row_of[i] for i in found.ids])
            lines.append(
                f"| {name} | {way} | {mine[0] / largest:.2f} | {mine[1] / mean:.2f} "
                f"| {mine[2]} of {labels.max() + 1} | {present:.0f} | {seconds:.1f} |"
            )

        dataset.load_brain_results("index").cleanup()
        dataset.delete()

    return "\n".join(lines)


def covered(units: np.ndarray, labels: np.ndarray, rows: Any) -> tuple[float, ...]:
    """Returns the largest and mean distance to rows, and how many classes they have."""
    nearest = (1 - units @ units[rows].T).min(axis=1)
    return float(nearest.max()), float(nearest.mean()), len(set(labels[rows].tolist()))


def scale_table(points: int, size: int) -> str:
    """Returns how long both take at a size, beside the bare matrix products."""
    from fiftyone_qdrant import audit_labels, select_samples

    vectors = make_vectors(points, size)
    dataset = indexed(vectors, np.arange(points) % 500)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    begun = time.perf_counter()
    for start in range(0, points, 2_048):
        for column in range(0, points, 8_192):
            units[start : start + 2_048] @ units[column : column + 8_192].T

    audit_bound = time.perf_counter() - begun
    begun = time.perf_counter()
    for start in range(0, points, 4_096):
        units[start : start + 4_096] @ units[:1_000].T

    select_bound = time.perf_counter() - begun
    del vectors, units
    lines = [
        f"| {points:,} x {size} | seconds | the products alone | memory more |",
        "|---|---:|---:|---:|",
    ]
    for name, call, bound in (
        ("audit", lambda: audit_labels(dataset, "index", "truth"), audit_bound),
        (
            "select 1,000 by coverage",
            lambda: select_samples(dataset, "index", 1_000),
            select_bound,
        ),
    ):
        seconds, more = watched(call)
        lines.append(f"| {name} | {seconds:.1f} | {bound:.1f} | {more:.0f} MB |")

    dataset.load_brain_results("index").cleanup()
    dataset.delete()
    return "\n".join(lines)


def watched(call: Callable[[], object]) -> tuple[float, float]:
    """Returns the seconds of a call, and the MB of memory that it took at most."""
    ended, peak = threading.Event(), [0.0]
    before = anonymous_mb()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], anonymous_mb())

    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    ended.set()
    thread.join()
    return seconds, peak[0] - before


def anonymous_mb() -> float:
    """Returns the memory of this process that is not of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(v for v in lines if v.startswith("RssAnon")).split()[1]) / 1024


def main() -> None:
    """Measures, prints the tables and writes them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelling")
    parts = ("labels", "selection", "scale")
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--out", type=Path, default=isolation.REPO / "docs/benchmarks")
    given = parser.parse_args()
    tables = {
        "labels": ("5 % of labels are wrong", labels_table),
        "selection": (f"{CHOSEN} samples to label", selection_table),
        "scale": ("At size", lambda: scale_table(given.points, given.size)),
    }
    text = "# Labels and selection\n\nMade by `make bench`.\n"
    for part in given.only:
        title, table = tables[part]
        text += f"\n## {title}\n\n{table()}\n"
        print(text, flush=True)

    (given.out / "labelling.md").write_text(text)
    print(json.dumps({}))


if __name__ == "__main__":
    main()
