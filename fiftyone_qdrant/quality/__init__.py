"""How good an index is, measured: recall, latency, what other settings would cost."""
