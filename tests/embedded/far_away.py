"""What tests of backups at URLs share."""

from __future__ import annotations


def of(folder):
    return f"file://{folder}"


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
