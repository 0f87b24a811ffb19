"""docs/mistakes.md: every mistake on that page gets the message that stands below it.

`python -m tests.test_mistakes` writes the messages anew.
"""

import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "mistakes.md"
BLOCK = re.compile(r"```python(?P<kind> \w+)\n(?P<code>.*?)```\n(?:\n```text\n(?P<said>.*?)```\n)?", re.DOTALL)
BLOCKS = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
SETUP = next(block["code"] for block in BLOCKS if block["kind"] == " setup")
MISTAKES = [block for block in BLOCKS if block["kind"] == " wrong"]


def said(code: str) -> str:
    """The error or warning that code gives, with its kind before it."""
    names: dict[str, object] = {"__name__": "mistakes"}
    exec(SETUP, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            exec(code, names)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "nothing"


@pytest.mark.parametrize("block", MISTAKES, ids=lambda block: block["code"].strip().splitlines()[-1])
def test_says_what_stands_there(block):
    assert block["said"] is not None, "python -m tests.test_mistakes writes what is said"
    assert said(block["code"]).split() == block["said"].split()


def wrapped(text: str, width: int = 118) -> str:
    """Its lines broken at spaces, so that the page is readable."""
    import textwrap

    return "\n".join(
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    )


def rewritten(block: re.Match[str]) -> str:
    start = f"```python{block['kind']}\n{block['code']}```\n"
    return start if block["kind"] != " wrong" else f"{start}\n```text\n{wrapped(said(block['code']))}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(rewritten, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
