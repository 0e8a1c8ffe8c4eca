"""Lets a program use the embedded client without paying for FiftyOne."""

import os
import sys
import types

package = types.ModuleType("fiftyone_qdrant")
package.__path__ = [os.environ["FQ_PACKAGE"]]
sys.modules["fiftyone_qdrant"] = package
