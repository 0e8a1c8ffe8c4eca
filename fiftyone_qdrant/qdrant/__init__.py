"""One collection at one place: connected to, written, read; knows no dataset."""
