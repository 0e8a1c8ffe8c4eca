"""Sizes and times for people."""

import pytest

from fiftyone_qdrant.words import bytes_in_words, seconds_in_words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (999_499, "999 kB"),
        (999_999, "1 MB"),
        (2.34e6, "2.34 MB"),
        (999_999_999, "1 GB"),
        (5.6e9, "5.6 GB"),
        (7e12, "7 TB"),
        (7.1e15, "7,100 TB"),
        (1.15e18, "1,150,000 TB"),
    ],
)
def test_bytes(count, words):
    assert bytes_in_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (0.4, "1 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h")],
)
def test_seconds(seconds, words):
    assert seconds_in_words(seconds) == words
