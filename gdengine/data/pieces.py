"""Where a text may be cut without a trace: what its pieces are encoded to, joined, is what the whole is encoded to.

A character or a byte may be cut from the next anywhere. Byte pairs are made within a word, a number, a row of signs or
of white space; in GPT-2's pattern none of them begins before a line end and goes on behind it, unless the line end
stands in white space. So the place before a line end that follows something other than white space serves them all.
"""

import re
from collections.abc import Iterator

# Unicode's White_Space; Python's \s holds a few more, which are no loss.
_TEXT = re.compile(r"(?<=\S)\n")
# The same in UTF-8, before line ends are made "\n".
_BYTES = re.compile(
    rb"(?<![ \t\n\v\f\r])(?<!\xc2\x85)(?<!\xc2\xa0)(?<!\xe1\x9a\x80)(?<!\xe2\x80[\x80-\x8a\xa8\xa9\xaf])"
    rb"(?<!\xe2\x81\x9f)(?<!\xe3\x80\x80)[\r\n]"
)


def pieces(text: str, size: int) -> Iterator[str]:
    """The text in pieces of ``size`` characters or somewhat more: as much more as it takes to reach a place to cut."""
    start = 0
    while start < len(text):
        end = cut_text(text, start + size)
        yield text[start:end]
        start = end


def cut_text(text: str, at: int) -> int:
    """The first place from ``at`` on where the text may be cut; its end, if there is none."""
    found = _TEXT.search(text, at) if at < len(text) else None
    return found.start() if found else len(text)


def cut_bytes(raw: bytes, at: int) -> int | None:
    """The first place from ``at`` on where UTF-8 bytes may be cut; None if there is none before their end."""
    found = _BYTES.search(raw, at) if 0 < at < len(raw) else None
    return found.start() if found else None
