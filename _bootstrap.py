"""Makes ``fiftyone_qdrant`` importable by that name in this process.

The path of its classes is stored in datasets, so everybody imports it absolutely.
Installed with pip it simply is importable. If only the plugin folder is there
(``fiftyone plugins download``), the copy inside the folder is loaded under the
same name, without touching ``sys.path``.
"""

import importlib.util
import sys
from pathlib import Path

NAME = "fiftyone_qdrant"


def bind():
    """Imports the library, installed or bundled, which registers the backend."""
    if NAME not in sys.modules and importlib.util.find_spec(NAME) is None:
        _load_bundled()

    importlib.import_module(NAME)


def _load_bundled():
    folder = Path(__file__).parent / NAME
    spec = importlib.util.spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[NAME]
        raise
