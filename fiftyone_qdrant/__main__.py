"""Looks after embedded stores: ``python -m fiftyone_qdrant --help``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from fiftyone_qdrant.embedded.client import administration, launcher, remote_backups
from fiftyone_qdrant.embedded.client.administration import CollectionState
from fiftyone_qdrant.embedded.client.remote_place import is_url
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.qdrant.configured import configured_path
from fiftyone_qdrant.words import bytes_in_words, seconds_in_words

_ABOUT = """\
Looks after an embedded Qdrant store: a directory of collections that one process, its
owner, has open on behalf of all programs of one user. The owner starts with the first
program that needs it, and leaves a minute after the last one; verify, backup and
restore start it, too, and work while the store is in use.
"""
_SAY_SECONDS = 10.0
_EXIT = """\
exit status: 0 done; 1 a problem was found, or it could not be done; 2 wrong arguments
"""
_STATUS = "say whether the owner runs, and list the collections"
_STOP = "let the owner flush, close everything and leave (programs may start the next)"
_VERIFY = """compare all files with their checksums, read all points, try the indexes.
Of backups at a URL (--path URL), all that was sent is compared with its checksums"""
_BACKUP = """copy collections into a new directory, in use or not, and read the
copies. A damaged collection is left out, which is said. The copy is itself a store:
verify it with --path. Its files have holes: copy it with `cp --sparse=always`,
`rsync -S` or `tar -S`, or each collection takes 136 MB more. To a URL, such as
s3://bucket/backups, only what is not there yet is sent"""
_RESTORE = """take collections from a backup. Checksums are compared first, and nothing
that the store has is replaced without --replace"""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options.path or configured_path(), options)
    except QdrantPluginError as exc:
        print(f"{options.command}: {exc}", file=sys.stderr)
        return 1
    except OSError as exc:
        what = f"{exc.filename}: {exc.strerror}" if exc.filename else exc
        print(f"{options.command}: {what}", file=sys.stderr)
        return 1
    except ValueError as exc:
        print(f"{options.command}: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.command}: interrupted", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fiftyone_qdrant",
        description=_ABOUT,
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--path",
        help="the store's directory (default: the configured one, else "
        "~/.fiftyone/var/lib/qdrant)",
    )
    names: dict[str, Any] = {
        "action": "append",
        "metavar": "NAME",
        "help": "only this collection (may be given several times)",
    }
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, about: str) -> argparse.ArgumentParser:
        found = commands.add_parser(
            name, help=about.split(".")[0], description=about, parents=[shared]
        )
        found.set_defaults(run=run)
        return found

    command("status", _status, _STATUS)
    command("stop", _stop, _STOP)
    command("verify", _verify, _VERIFY).add_argument("--collection", **names)
    backup = command("backup", _backup, _BACKUP)
    backup.add_argument(
        "target", help="a directory that does not exist yet, or a URL of backups"
    )
    backup.add_argument("--collection", **names)
    backup.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help="at a URL: delete all but the last N backups of this store",
    )
    restore = command("restore", _restore, _RESTORE)
    restore.add_argument(
        "source", help="the backup's directory or URL (of all: the latest is taken)"
    )
    restore.add_argument("--collection", **names)
    restore.add_argument(
        "--replace", action="store_true", help="replace collections of the same name"
    )
    return parser


def _status(path: str, options: argparse.Namespace) -> int:
    state = administration.status(path)
    if not state.exists:
        print(f"{state.path}: no store there yet")
        return 0
    print(f"{state.path}: last written by {state.engine}")
    if state.silent is not None:
        pid, log = state.silent.get("pid", "unknown"), state.silent["log"]
        print(f"running, but it does not answer: pid {pid}, log {log}")
    elif state.owner is None:
        print("not running; it starts with the first program that needs it")
    else:
        age = time.time() - state.owner["started_at"]
        print(
            f"running: pid {state.owner['pid']}, qdrant-edge {state.owner['engine']}, "
            f"for {age:,.0f} s, log {state.owner['log']}"
        )
    print(f"{len(state.collections)} collections")
    for collection in state.collections:
        print(f"  {collection.name}: {_words(collection)}")
    bad = state.silent is not None or any(c.problem for c in state.collections)
    return 1 if bad else 0


def _words(state: CollectionState) -> str:
    points = "?" if state.points is None else f"{state.points:,}"
    said = [f"{points} points", f"{bytes_in_words(state.disk)} on disk"]
    if state.dim is not None:
        said[0] += f" x {state.dim}"
    if state.building is not None:
        since = seconds_in_words(time.time() - state.building["since"])
        said.append(f"index: {state.building['phase']}, for {since}")
    elif state.indexed:
        said.append(f"{state.indexed:,} indexed")
    elif state.indexing_threshold == 0:
        said.append("searched exactly (indexing_threshold is 0)")
    elif state.indexing_threshold is not None and state.dim is not None:
        limit = state.indexing_threshold * 256 // state.dim
        said.append(f"searched exactly, indexed above {limit:,} points")
    if state.problem is not None:
        said.append(f"PROBLEM: {state.problem}")
    return ", ".join(said)


def _stop(path: str, options: argparse.Namespace) -> int:
    print("stopped" if launcher.stop(path) else "no owner was running")
    return 0


def _verify(path: str, options: argparse.Namespace) -> int:
    if is_url(path):
        return _verify_remote(path, options)

    bad = 0
    for found in administration.verify(path, options.collection):
        compared = (
            f"{found['compared']} files compared"
            if found["compared"]
            else "no checksums yet: the owner has not ended since the last write"
        )
        print(f"{found['name']}: {found['points']:,} points read, {compared}")
        for problem in found["problems"]:
            print(f"  PROBLEM: {problem}")
        bad += bool(found["problems"])
    print(f"{bad} collections have problems" if bad else "no problems")
    return 1 if bad else 0


def _verify_remote(url: str, options: argparse.Namespace) -> int:
    bad = 0
    for found in remote_backups.verify(url, options.collection):
        print(f"{found['name']}: {found['compared']:,} chunks compared")
        for problem in found["problems"]:
            print(f"  PROBLEM: {problem}")

        bad += bool(found["problems"])

    print(f"{bad} backups have problems" if bad else "no problems")
    return 1 if bad else 0


def _backup(path: str, options: argparse.Namespace) -> int:
    if is_url(options.target):
        return _backup_remote(path, options)

    if options.keep is not None:
        raise ConfigError("--keep is for a URL: delete directories yourself")

    for copied in administration.back_up(path, options.target, options.collection):
        print(f"{copied['name']}: {bytes_in_words(copied['bytes'])}")
    print(f"backed up to {options.target}")
    return 0


def _backup_remote(path: str, options: argparse.Namespace) -> int:
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            there = f"{bytes_in_words(done)} of {bytes_in_words(total)}"
            print(f"backup: {there} are there", file=sys.stderr)

    done = remote_backups.back_up(
        path, options.target, options.collection, keep=options.keep, progress=progress
    )
    size = bytes_in_words(done.bytes)
    print(f"{done.name}: {len(done.collections)} collections, {size}")
    sent = bytes_in_words(done.bytes_sent)
    print(f"{done.sent:,} of {done.chunks:,} chunks were not there, {sent} sent")
    if options.keep is not None:
        print(
            f"deleted {done.backups_deleted:,} older backups and "
            f"{done.chunks_deleted:,} chunks"
        )
    return 0


def _restore(path: str, options: argparse.Namespace) -> int:
    take = remote_backups.restore if is_url(options.source) else administration.restore
    done = take(path, options.source, options.collection, replace=options.replace)
    for restored in done:
        print(f"{restored['name']}: {restored['points']:,} points")
    print(f"restored from {options.source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
