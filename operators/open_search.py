"""Open Qdrant Search: the search panel, beside the grid."""

from .open_panel import OpenPanel


class OpenSearch(OpenPanel):
    """Opens the search panel."""

    name = "open_search"
    label = "Open Qdrant Search"
    description = "Search by text, example or picture, beside the grid"
    panel = "qdrant_search"
