"""Text in brackets, deleted as Whisper and AudioBench delete it, in time that grows with the text alone.

The expressions they use look for the end of the text once for each bracket that is never closed: half a
minute for the 50,000 opening brackets of a model that repeats itself. These give the same results.
"""

from __future__ import annotations

import re

_ANGLED = re.compile(r"[<\[][^>\]]*[>\]]")
_ROUND = re.compile(r"\([^)]+?\)")
_MIXED = re.compile(
    r"""[\[({<][^()\\n\[\]]*[\])}>]   # what AudioBench deletes
    | ([\[({<][^()\\n\[\]]*+)         # no end in reach, nor for a bracket within: go past it at once""",
    re.VERBOSE,
)


def without_angled(text: str) -> str:
    """Without <...> and [...], each end for either: Whisper's rule, and jiwer's RemoveKaldiNonWords."""
    end = max(text.rfind(">"), text.rfind("]")) + 1
    return _ANGLED.sub("", text[:end]) + text[end:]


def without_round(text: str) -> str:
    """Without (...) that holds anything; Whisper's rule."""
    end = text.rfind(")") + 1
    return _ROUND.sub("", text[:end]) + text[end:]


def without_mixed(text: str) -> str:
    """Without brackets of any kind; AudioBench's rule, slip included.

    Its expression says backslash and "n" where a line's end was meant: no such letter may stand inside, so
    that {laugh} goes and {noise} stays. The two ends may be of different kinds.
    """
    return _MIXED.sub(lambda found: found[1] or "", text)
