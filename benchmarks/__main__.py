"""``python -m benchmarks [--points 10000 100000] [--million] [--only ours sklearn]``.

Each contender is measured in processes of its own, one after the other, on the same
vectors and the same MongoDB, all thrown away afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tests import isolation

WORLD = isolation.start()  # before FiftyOne is imported

from benchmarks import app, report  # noqa: E402
from benchmarks.contenders import CONTENDERS  # noqa: E402

_LAST_CLIENT_OF_BUILTIN = "qdrant-client==1.15.1"  # 1.16 has not what it calls
_MILLION = (1_000_000, 128)
_CROWD = 100_000  # points from which on waiting for others is of interest

Figures = dict[str, float]


def main() -> None:
    """Measures, prints the table and writes it to docs/benchmarks/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--size", type=int, default=512, help="of a vector")
    parser.add_argument("--million", action="store_true", help="1,000,000 x 128 too")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=[*CONTENDERS])
    parser.add_argument("--out", type=Path, default=isolation.REPO / "docs/benchmarks")
    given = parser.parse_args()

    sizes = [(n, given.size) for n in given.points] + [_MILLION] * given.million
    results = {}
    for num_points, size in sizes:
        name = f"{num_points:,} x {size}"
        print(f"{name}: making the data", flush=True)
        results[name] = compare(num_points, size, given.only)
        report.write(results, given.out)

    for module in (["benchmarks.pairs", "--sklearn"], ["benchmarks.planted"]):
        print(f"\n{module[0]}:", flush=True)
        subprocess.run([sys.executable, "-m", *module], check=True)

    print("labels and selection", flush=True)
    run("benchmarks.labelling", "--out", given.out)


def compare(num_points: int, size: int, only: list[str]) -> dict[str, Figures]:
    """Returns the figures of every contender, by its name."""
    name = f"bench-{num_points}"
    folder = WORLD.root / name
    folder.mkdir()
    run("benchmarks.data", name, folder, num_points, size)
    found = {"engine alone": run("benchmarks.bare", folder)}
    for who in only:
        if num_points > CONTENDERS[who].at_most:
            continue

        python = CONTENDERS[who].python()
        if python is None:
            how_to = CONTENDERS[who].how_to.format(
                fiftyone=metadata.version("fiftyone")
            )
            print(f"  {who}: left out. To compare with it: {how_to}", flush=True)
            continue

        print(f"  {who}", flush=True)
        found[who] = {}
        for phase in CONTENDERS[who].phases:
            found[who].update(
                run("benchmarks.measure", who, phase, name, folder, python=python)
            )

        if who.startswith("ours"):
            found[who].update(app.measure(name, folder))
            found[who].update(run("benchmarks.parts", name, folder))

    if "ours" in found and num_points >= _CROWD:
        found["ours"].update(run("benchmarks.interference", folder))

    return found


def run(module: str, *arguments: object, python: Path | None = None) -> Figures:
    """Runs a module in a process of its own and returns the figures it prints."""
    command = [str(python or sys.executable), "-m", module, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(isolation.REPO)}
    if "built-in qdrant" in command:
        env["PYTHONPATH"] = f"{old_client()}{os.pathsep}{env['PYTHONPATH']}"

    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed")

    return dict(json.loads(done.stdout.splitlines()[-1]))


def old_client() -> Path:
    """Installs the last client that FiftyOne's built-in backend works with."""
    folder = WORLD.root / "old-client"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder]
        subprocess.run([*pip, _LAST_CLIENT_OF_BUILTIN, "--no-deps"], check=True)

    return folder


if __name__ == "__main__":
    main()
