"""The wire format between a client and the owner process of a store.

A message is a JSON header plus a list of binary buffers, so that vectors and ids
travel as raw bytes and nothing is ever unpickled. On the socket it is

    8 bytes   length of the header, little-endian
    8 bytes   length of all buffers together if that is small, else 0; what is
              small is received together with the header
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
from typing import Any, TypeAlias

PROTOCOL = 2
"""Version of everything in this module; both ends must have the same."""

Buffer: TypeAlias = "bytes | bytearray | memoryview"
Message = dict[str, Any]

LEAVING = "OwnerLeaving"
"""The error name that says: nothing was done, ask the next owner."""

_MAGIC = b"FOQE"
_NONCE = 32
_LENGTHS = struct.Struct("<QQ")
_GREETING = struct.Struct("<4sI32s")
_INLINE = 1 << 16
_MAX_HEADER = 1 << 31
_AT_ONCE = 16 << 20  # of memory, for what was announced but did not come yet

MAX_REQUEST = 256 << 20
"""How many bytes the owner takes as one request. The client's writes are smaller."""


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
    send_packed(sock, pack(message, buffers), buffers)


def pack(message: Message, buffers: Sequence[Buffer] = ()) -> bytes:
    """Returns the header of a message.

    Raises:
        ValueError, TypeError, RecursionError: if it is not JSON-serializable
    """
    sizes = [len(b) for b in buffers]
    return json.dumps(
        {"b": sizes, "m": message}, separators=(",", ":"), allow_nan=False
    ).encode()


def send_packed(
    sock: socket.socket, header: bytes, buffers: Sequence[Buffer] = ()
) -> None:
    """Sends a message whose header :func:`pack` returned."""
    total = sum(map(len, buffers))
    if total <= _INLINE:
        sock.sendall(b"".join((_LENGTHS.pack(len(header), total), header, *buffers)))
        return

    sock.sendall(_LENGTHS.pack(len(header), 0) + header)
    for buffer in buffers:
        sock.sendall(buffer)


def receive(
    sock: socket.socket, limit: int | None = None
) -> tuple[Message, list[memoryview]]:
    """Receives one message.

    Args:
        sock: a connected socket
        limit: how many bytes it may have, if that is limited

    Returns:
        a ``(message, buffers)`` tuple. The buffers are writable and nobody else's

    Raises:
        ConnectionError: if what comes is no message, or too long
    """
    length, inline = _LENGTHS.unpack(receive_exactly(sock, _LENGTHS.size))
    if length > (limit or _MAX_HEADER) or inline > _INLINE:
        raise ConnectionError("malformed message")

    data = receive_exactly(sock, length + inline)
    message, sizes = _parse(data[:length])
    if (inline and sum(sizes) != inline) or (limit and length + sum(sizes) > limit):
        raise ConnectionError("malformed message")

    if not inline:
        return message, [memoryview(receive_exactly(sock, n)) for n in sizes]

    buffers = []
    start = length
    for size in sizes:
        buffers.append(memoryview(data[start : start + size]))
        start += size

    return message, buffers


def _parse(header: bytearray) -> tuple[Message, list[int]]:
    try:
        parsed = json.loads(header)
        message, sizes = parsed["m"], parsed["b"]
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise ConnectionError("malformed message") from e

    if not isinstance(message, dict) or not isinstance(sizes, list):
        raise ConnectionError("malformed message")

    if any(type(size) is not int or size < 0 for size in sizes):
        raise ConnectionError("malformed message")

    return message, sizes


def receive_exactly(sock: socket.socket, length: int) -> bytearray:
    """Receives ``length`` bytes, or raises ``EOFError``.

    Much memory is taken only as it is filled.
    """
    data = bytearray(min(length, _AT_ONCE))
    done = 0
    while done < length:
        if done == len(data):
            data.extend(bytes(min(done, length - done)))

        with memoryview(data) as view:
            while done < len(data):
                # with no time limit on the socket, one call receives it all
                got = sock.recv_into(view[done:], 0, socket.MSG_WAITALL)
                if got == 0:
                    raise EOFError("the connection was closed")

                done += got

    return data


def peer_uid(sock: socket.socket) -> int | None:
    """Returns the user at the other end, or None if the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None  # the directory and the key keep others out

    size = struct.calcsize("3i")
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", found)[1])


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

PointId: TypeAlias = "int | str"


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
        return "u", b"".join([uuid.UUID(str(i)).bytes for i in canonical])

    return "m", json.dumps(canonical).encode()


def unpack_ids(kind: str, buffer: Buffer) -> list[PointId]:
    """Unpacks point ids to ints and canonical UUID strings."""
    if kind == "u":
        text = bytes(buffer).hex()
        rows = [text[i : i + 32] for i in range(0, len(text), 32)]
        return [f"{r[:8]}-{r[8:12]}-{r[12:16]}-{r[16:20]}-{r[20:]}" for r in rows]

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
