"""The client of an embedded store; it knows qdrant_client, never the engine."""
