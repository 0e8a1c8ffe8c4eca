"""Open Qdrant Curate: the curate panel, beside the grid."""

from .open_panel import OpenPanel


class OpenCurate(OpenPanel):
    """Opens the curate panel."""

    name = "open_curate"
    label = "Open Qdrant Curate"
    description = "Near-duplicates, doubtful labels, what to label next"
    panel = "qdrant_curate"
