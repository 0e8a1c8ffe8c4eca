"""Files as chunks that are named by their content, zeros at their ends left out.

A file is cut at multiples of 4 MiB, so what is the same in two backups has the same
chunks. The engine's files are mostly holes, which are no chunks.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant.embedded.files import data_extents, open_plain

CHUNK = 4 << 20
"""Bytes of the longest chunk."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[^/\0]+")


@dataclass(frozen=True)
class Chunk:
    """Bytes of a file.

    Attributes:
        path: the file, relative to the directory that was cut
        offset: where in the file they start
        size: how many they are
        digest: their sha256, in hexadecimal
    """

    path: str
    offset: int
    size: int
    digest: str


@dataclass(frozen=True)
class Tree:
    """A directory, without the bytes themselves.

    Attributes:
        directories: those in it, a parent before its children
        sizes: bytes of each file
        chunks: what its files consist of
    """

    directories: tuple[str, ...]
    sizes: dict[str, int]
    chunks: tuple[Chunk, ...]

    def under(self, *paths: str) -> Tree:
        """Returns the part that is at some paths or below them."""

        def wanted(path: str) -> bool:
            return any(path == p or path.startswith(f"{p}/") for p in paths)

        return Tree(
            tuple(filter(wanted, self.directories)),
            {path: size for path, size in self.sizes.items() if wanted(path)},
            tuple(c for c in self.chunks if wanted(c.path)),
        )

    def as_json(self) -> dict[str, Any]:
        """Returns what :func:`tree_of_json` takes."""
        files: dict[str, dict[str, Any]] = {
            path: {"size": size, "chunks": []} for path, size in self.sizes.items()
        }
        for c in self.chunks:
            files[c.path]["chunks"].append([c.offset, c.size, c.digest])

        return {"directories": list(self.directories), "files": files}


def cut(root: str) -> Tree:
    """Reads a directory once, and returns what it consists of."""
    directories, sizes, chunks = [], {}, []
    for folder, _, names in os.walk(root):
        if folder != root:
            directories.append(os.path.relpath(folder, root))

        for name in sorted(names):
            whole = os.path.join(folder, name)
            path = os.path.relpath(whole, root)
            sizes[path] = os.path.getsize(whole)
            chunks.extend(_cut_file(whole, path))

    return Tree(tuple(sorted(directories)), sizes, tuple(chunks))


def _cut_file(whole: str, path: str) -> list[Chunk]:
    chunks = []
    with os.fdopen(open_plain(whole), "rb", buffering=0) as file:
        cells = {
            at
            for start, end in data_extents(file)
            for at in range(start // CHUNK, (end - 1) // CHUNK + 1)
        }
        for at in sorted(cells):
            data = os.pread(file.fileno(), CHUNK, at * CHUNK)
            kept = data.lstrip(b"\0")
            offset = at * CHUNK + len(data) - len(kept)
            kept = kept.rstrip(b"\0")
            if kept:
                digest = hashlib.sha256(kept).hexdigest()
                chunks.append(Chunk(path, offset, len(kept), digest))

    return chunks


def read_chunk(root: str, chunk: Chunk) -> bytes:
    """Returns the bytes of a chunk of a directory."""
    fd = open_plain(os.path.join(root, chunk.path))
    try:
        return os.pread(fd, chunk.size, chunk.offset)
    finally:
        os.close(fd)


def is_chunk(data: bytes, digest: str) -> bool:
    """Returns whether bytes are those that a digest names."""
    return hashlib.sha256(data).hexdigest() == digest


def lay_out(tree: Tree, root: str) -> None:
    """Makes the directories and files of a tree, all holes yet."""
    for path in tree.directories:
        os.makedirs(os.path.join(root, path), 0o700, exist_ok=True)

    for path, size in tree.sizes.items():
        whole = os.path.join(root, path)
        os.makedirs(os.path.dirname(whole), 0o700, exist_ok=True)
        fd = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)


def write_chunk(root: str, chunk: Chunk, data: bytes) -> None:
    """Puts the bytes of a chunk in their place in a file that was laid out."""
    with open(os.path.join(root, chunk.path), "r+b", buffering=0) as file:
        file.seek(chunk.offset)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def tree_of_json(content: Any) -> Tree:
    """Returns a tree from what was read somewhere, which may be anything.

    Raises:
        ValueError: if it is none, or would write outside its directory
    """
    try:
        directories = tuple(_path(path) for path in content["directories"])
        sizes = {_path(p): _count(f["size"]) for p, f in content["files"].items()}
        chunks = tuple(
            Chunk(path, _count(offset), _count(size), _digest(digest))
            for path, file in content["files"].items()
            for offset, size, digest in file["chunks"]
        )
    except (AttributeError, KeyError, TypeError) as e:
        raise ValueError(f"it does not list files: {e!r}") from e

    for c in chunks:
        if not 0 < c.size <= CHUNK or c.offset + c.size > sizes[c.path]:
            raise ValueError(f"{c.path} has bytes that are not in it")

    return Tree(directories, sizes, chunks)


def _path(path: Any) -> str:
    parts = path.split("/") if isinstance(path, str) else [""]
    if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise ValueError(f"{path!r} is no path in a backup")

    return str(path)


def _count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no number of bytes")

    return number


def _digest(digest: Any) -> str:
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no sha256")

    return digest
