"""A place at a URL: the one door to fsspec, which is imported when it is used."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fiftyone_qdrant import errors

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")


def is_url(place: str | os.PathLike[str]) -> bool:
    """Returns whether a place is given by a URL, not by a directory."""
    return isinstance(place, str) and _URL.match(place) is not None


class Place:
    """Files below a URL, by names that are relative to it.

    Every failure is a ``StoreUnavailable`` that says where, but a missing file is a
    ``FileNotFoundError``.

    Args:
        url: what fsspec takes, such as ``"s3://bucket/backups"``

    Attributes:
        url: the same for people, without a password

    Raises:
        ConfigError: if fsspec or what it needs for this URL is not installed, or it
            does not know such URLs
    """

    def __init__(self, url: str) -> None:
        self.url = re.sub(r"(?<=://)[^/@]*@", "", url.rstrip("/"))
        try:
            from fsspec.core import url_to_fs
        except ImportError as e:
            raise errors.ConfigError(
                f"{self.url} needs fsspec: pip install 'fiftyone-qdrant[remote]'"
            ) from e

        try:
            with self._saying():
                self._files, root = url_to_fs(url.rstrip("/"))
        except errors.StoreUnavailable as e:
            if isinstance(e.__cause__, ImportError | ValueError):
                raise errors.ConfigError(str(e)) from e

            raise

        self._root = root.rstrip("/")

    def list(self, folder: str) -> dict[str, int]:
        """Returns the bytes of each file below a folder, by its last name."""
        with self._saying():
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}

            return {path.rsplit("/", 1)[-1]: f["size"] for path, f in found.items()}

    def read(self, name: str) -> bytes:
        """Returns the content of a file."""
        with self._saying(name):
            data: bytes = self._files.cat_file(self._path(name))
            return data

    def write(self, name: str, data: bytes) -> None:
        """Writes a file. One that was not written to its end may have part of it."""
        path = self._path(name)
        with self._saying():
            try:
                self._files.pipe_file(path, data)
            except FileNotFoundError:
                if not self._files.exists(self._root.split("/", 1)[0] or "/"):
                    raise  # a bucket, which is not ours to make

                self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                self._files.pipe_file(path, data)

    def write_whole(self, name: str, data: bytes) -> None:
        """Writes a file that is there with all its content, or not at all."""
        folder, last = name.rsplit("/", 1)
        partial = f"{folder}/.{last}.{uuid.uuid4().hex}"
        self.write(partial, data)
        with self._saying():
            self._files.mv(self._path(partial), self._path(name))

    def delete(self, name: str) -> None:
        """Deletes a file. One that is not there is no failure."""
        with self._saying(), suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _saying(self, name: str | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as e:  # each kind of place has its own kinds
            if name is not None and isinstance(e, FileNotFoundError):
                raise FileNotFoundError(2, "is not there", f"{self.url}/{name}") from e

            said = str(e) or type(e).__name__
            raise errors.StoreUnavailable(f"{self.url}: {said}") from e
