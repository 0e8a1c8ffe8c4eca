"""Vectors in and out of an index: sources, ingest, sync, removal, preflight."""
