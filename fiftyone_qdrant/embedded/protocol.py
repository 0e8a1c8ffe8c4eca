"""The wire format between a client and the owner process of a store.

A message is a JSON header plus a list of binary buffers, so that vectors and ids
travel as raw bytes and nothing is ever unpickled. On the socket it is

    8 bytes   length of the header, little-endian
    header    JSON: ``{"b": [length of each buffer], "m": the message}``
    buffers   one after the other

A connection starts with a handshake in which both ends prove that they know the
store's key; see :func:`answer_handshake` and :func:`offer_handshake`.
"""

from __future__ import annotations

import hmac
import json
import os
import socket
import struct
import uuid
from collections.abc import Sequence
from typing import Any, Union

PROTOCOL = 1
"""Version of everything in this module; both ends must have the same."""

Buffer = Union[bytes, bytearray, memoryview]
Message = dict[str, Any]

_MAGIC = b"FOQE"
_NONCE = 32
_LENGTH = struct.Struct("<Q")
_GREETING = struct.Struct("<4sI32s")
_INLINE = 1 << 16
_MAX_HEADER = 1 << 31


class HandshakeError(Exception):
    """The other end is not who it should be, or speaks another version."""


class VersionMismatch(HandshakeError):
    """The other end speaks another protocol version."""


# -- messages -----------------------------------------------------------------


def send(sock: socket.socket, message: Message, buffers: Sequence[Buffer] = ()) -> None:
    """Sends one message.

    Args:
        sock: a connected socket
        message: a JSON-serializable dict
        buffers: C-contiguous binary buffers of one byte per item
    """
    sizes = [len(b) for b in buffers]
    header = json.dumps(
        {"b": sizes, "m": message}, separators=(",", ":"), allow_nan=False
    ).encode()
    start = _LENGTH.pack(len(header)) + header
    if sum(sizes) <= _INLINE:
        sock.sendall(b"".join((start, *buffers)))
        return
    sock.sendall(start)
    for buffer in buffers:
        sock.sendall(buffer)


def receive(sock: socket.socket) -> tuple[Message, list[memoryview]]:
    """Receives one message.

    Args:
        sock: a connected socket

    Returns:
        a ``(message, buffers)`` tuple. The buffers are writable and their own
    """
    (length,) = _LENGTH.unpack(receive_exactly(sock, _LENGTH.size))
    if length > _MAX_HEADER:
        raise ConnectionError("malformed message")
    header = json.loads(receive_exactly(sock, length))
    message: Message = header["m"]
    return message, [memoryview(receive_exactly(sock, n)) for n in header["b"]]


def receive_exactly(sock: socket.socket, length: int) -> bytearray:
    """Receives ``length`` bytes, or raises ``EOFError``."""
    data = bytearray(length)
    view = memoryview(data)
    done = 0
    while done < length:
        got = sock.recv_into(view[done:])
        if got == 0:
            raise EOFError("the connection was closed")
        done += got
    return data


# -- handshake ----------------------------------------------------------------


def offer_handshake(sock: socket.socket, key: bytes) -> None:
    """The owner's side: greets, and checks that the client knows the key."""
    mine = os.urandom(_NONCE)
    sock.sendall(_GREETING.pack(_MAGIC, PROTOCOL, mine))
    magic, version, theirs = _GREETING.unpack(receive_exactly(sock, _GREETING.size))
    proof = receive_exactly(sock, 32)
    if magic != _MAGIC or version != PROTOCOL:
        raise VersionMismatch(f"client speaks {version}, owner {PROTOCOL}")
    if not hmac.compare_digest(proof, _proof(key, b"client", mine, theirs)):
        raise HandshakeError("the client does not know the store's key")
    sock.sendall(_proof(key, b"owner", mine, theirs))


def answer_handshake(sock: socket.socket, key: bytes) -> None:
    """The client's side: proves that it knows the key, and asks the same back."""
    magic, version, theirs = _GREETING.unpack(receive_exactly(sock, _GREETING.size))
    if magic != _MAGIC:
        raise HandshakeError("something else answers on the store's socket")
    if version != PROTOCOL:
        raise VersionMismatch(f"the owner speaks version {version}, not {PROTOCOL}")
    mine = os.urandom(_NONCE)
    sock.sendall(
        _GREETING.pack(_MAGIC, PROTOCOL, mine) + _proof(key, b"client", theirs, mine)
    )
    proof = receive_exactly(sock, 32)
    if not hmac.compare_digest(proof, _proof(key, b"owner", theirs, mine)):
        raise HandshakeError("the owner does not know the store's key")


def _proof(key: bytes, role: bytes, owner_nonce: bytes, client_nonce: bytes) -> bytes:
    return hmac.digest(key, role + owner_nonce + client_nonce, "sha256")


# -- point ids ----------------------------------------------------------------
# A list of ids becomes one buffer and one letter: "u" (16 bytes each) when all
# are UUIDs, "i" (8 bytes each) when all are integers, else "m" (JSON).

PointId = Union[int, str]


def pack_ids(ids: Sequence[Any]) -> tuple[str, bytes]:
    """Packs point ids, the form that :func:`unpack_ids` and the owner read.

    Args:
        ids: ints, and UUIDs as ``str`` in any spelling or as ``uuid.UUID``

    Returns:
        a ``(kind, buffer)`` tuple

    Raises:
        ValueError: if something is not a point id
    """
    kinds = set(map(type, ids))
    if kinds <= {str}:
        packed = _pack_uuid_strings(ids)
        if packed is not None:
            return "u", packed
    elif kinds == {uuid.UUID}:
        return "u", b"".join([i.bytes for i in ids])
    elif kinds == {int}:
        try:
            return "i", struct.pack(f"<{len(ids)}Q", *ids)
        except struct.error:
            bad = next(i for i in ids if not 0 <= i < 1 << 64)
            raise ValueError(f"{bad} is not a point id: out of range") from None
    canonical = [_canonical(i) for i in ids]
    if all(isinstance(i, int) for i in canonical):
        return "i", struct.pack(f"<{len(ids)}Q", *canonical)
    if all(isinstance(i, str) for i in canonical):
        return "u", b"".join([uuid.UUID(i).bytes for i in canonical])  # type: ignore[arg-type]
    return "m", json.dumps(canonical).encode()


def unpack_ids(kind: str, buffer: Buffer) -> list[PointId]:
    """Unpacks point ids to ints and canonical UUID strings."""
    if kind == "u":
        h = bytes(buffer).hex()
        return [
            f"{h[i : i + 8]}-{h[i + 8 : i + 12]}-{h[i + 12 : i + 16]}-{h[i + 16 : i + 20]}-{h[i + 20 : i + 32]}"
            for i in range(0, len(h), 32)
        ]
    if kind == "i":
        return list(struct.unpack(f"<{len(buffer) // 8}Q", buffer))
    ids: list[PointId] = json.loads(bytes(buffer))
    return ids


def _pack_uuid_strings(ids: Sequence[str]) -> bytes | None:
    plain = [i.replace("-", "") for i in ids]
    if any(len(i) != 32 for i in plain):
        return None
    try:
        packed = bytes.fromhex("".join(plain))
    except ValueError:
        return None
    # fromhex() skips white space, which no UUID may hold
    return packed if len(packed) == 16 * len(ids) else None


def _canonical(point_id: Any) -> PointId:
    if isinstance(point_id, uuid.UUID):
        return str(point_id)
    if isinstance(point_id, str):
        try:
            return str(uuid.UUID(point_id))
        except ValueError:
            raise ValueError(f"{point_id!r} is not a point id: not a UUID") from None
    if hasattr(point_id, "__index__") and not isinstance(point_id, bool):
        number = int(point_id)
        if 0 <= number < 1 << 64:
            return number
    raise ValueError(f"{point_id!r} is not a point id: neither an integer nor a UUID")
