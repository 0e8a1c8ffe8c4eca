"""Views of frames and clips whose documents FiftyOne has made again.

``view.reload()`` deletes the documents that other views of the same frames or clips
show, those of indexes among them, and makes new ones.
"""

from __future__ import annotations

from typing import Any

import fiftyone.core.dataset as fod
from fiftyone.core.clips import ClipsView

from fiftyone_qdrant.dataset.samples import dataset_of, rebuilt, root_of, times_of
from fiftyone_qdrant.errors import ConfigError


def remade(view: Any) -> Any:
    """Returns a view of the documents that FiftyOne has now; the same if it can.

    Raises:
        ConfigError: if it shows clips that have other ids since
    """
    if view is None or isinstance(view, fod.Dataset) or not dataset_of(view).deleted:
        return view

    if root_of(view).deleted:
        return view

    if isinstance(view, ClipsView) and not times_of(view):
        raise ConfigError(
            "FiftyOne has made the clips again that this index holds, and gave them "
            "new ids. Delete its run, and index the view as it is now"
        )

    return rebuilt(view)


class Remade:
    """An attribute of an index that is a view: what is read is there, see above."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, index: Any, owner: type) -> Any:
        values = vars(index)
        values[self._name] = view = remade(values[self._name])
        return view

    def __set__(self, index: Any, view: Any) -> None:
        vars(index)[self._name] = view
