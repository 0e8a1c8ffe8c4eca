"""The process that owns a store; it knows the engine, never qdrant_client."""
