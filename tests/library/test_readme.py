"""The README's ten lines of Python print what it says they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.slow
def test_ten_lines_of_python_print_what_the_readme_says(make_dataset, digits_model):
    section = README.read_text().partition("## Ten lines of Python")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    expected = re.search(r"```text\n(.*?)```", section, re.DOTALL)[1]

    dataset = make_dataset(1797, name="digits-qdrant-demo")
    printed = io.StringIO()
    names = {}
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, names)  # noqa: S102
    finally:
        if "index" in names:
            names["index"].cleanup()
        dataset.delete()

    lines = [x for x in printed.getvalue().splitlines() if "uplicate" not in x]
    assert [x for x in lines if "omput" not in x] == expected.splitlines()
