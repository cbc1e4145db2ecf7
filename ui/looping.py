"""Models, small ones above all, sometimes say the same again and again until they are cut off."""

from __future__ import annotations

import re

WORDS = 6  # as many as are held against what stands before
TIMES = 6  # said so often it is a loop and no refrain
SHORTEST, LONGEST = 12, 90  # characters of the words in question
SIGNS = 20  # taken instead of words in a script that sets no spaces
REMEMBERED = 6000  # characters


def is_looping(text: str) -> bool:
    """Whether the last six words of a text have been said in it at least six times."""
    text = text[-REMEMBERED:]
    words = text.split()
    if words and not text[-1].isspace():
        words.pop()  # it may go on
    last = " ".join(words[-WORDS:])
    if len(words) < WORDS or len(last) > LONGEST:
        return len(text) >= SIGNS and text.count(text[-SIGNS:]) >= TIMES
    if len(last) < SHORTEST:
        return False
    return len(re.findall(rf"(?<!\S){re.escape(last)}(?!\S)", " ".join(words))) >= TIMES
