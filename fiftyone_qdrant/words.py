"""Sizes and times for people, written the same everywhere."""

from __future__ import annotations


def bytes_in_words(count: float) -> str:
    """Returns a number of bytes, such as ``"1.3 GB"``; a kB has 1,000."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        rounded = float(f"{value:.3g}")
        if rounded < 1000:
            return f"{rounded:g} {unit}"

        value /= 1000

    rounded = float(f"{value:.3g}")
    return f"{rounded:g} TB" if rounded < 1000 else f"{rounded:,.0f} TB"


def seconds_in_words(seconds: float) -> str:
    """Returns a time, such as ``"40 s"``, ``"5 min"`` or ``"2.5 h"``; 1 s at least."""
    if seconds < 90:
        return f"{max(1, seconds):,.0f} s"

    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def distance_in_words(distance: float) -> str:
    """Returns a distance, such as ``"0.018"`` or ``"1,234"``."""
    if abs(distance) >= 100:
        return f"{distance:,.0f}"

    return f"{round(distance, 3) + 0.0:.3f}"  # + 0.0: no "-0.000"
