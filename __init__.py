"""The FiftyOne plugin ``@community/qdrant``: its operators and its panel.

FiftyOne runs this file again on every operator call, so nothing is kept here and
nothing is imported before it is needed.
"""


def register(plugin):
    """Registers the plugin's operators and panel with FiftyOne."""
    from ._bootstrap import bind

    bind()

    from .operators import OPERATORS
    from .panels import PANELS

    for cls in (*OPERATORS, *PANELS):
        plugin.register(cls)
