"""Word error rate with a plain normaliser: numbers by the digit, no case or marks, American spelling."""

import re
from itertools import pairwise

SAME_WORD = {
    "ok": "okay",
    "centre": "center",
    "colour": "color",
    "colours": "colors",
    "favourite": "favorite",
    "neighbour": "neighbor",
    "neighbours": "neighbors",
    "neighbourhood": "neighborhood",
    "programme": "program",
    "metre": "meter",
    "metres": "meters",
    "kilometre": "kilometer",
    "kilometres": "kilometers",
    "practise": "practice",
    "summarise": "summarize",
    "organised": "organized",
    "organise": "organize",
    "realise": "realize",
    "realised": "realized",
    "recognise": "recognize",
    "apologise": "apologize",
    "theatre": "theater",
    "grey": "gray",
    "mum": "mom",
    "mister": "mr",
    "missus": "mrs",
    "miz": "ms",
    "doctor": "dr",
}


NAMED = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
NUMBERS = {name: str(number) for number, name in enumerate(NAMED)}


def words(text: str) -> list[str]:
    """The words that are compared: 3:15, "315" and "three one five" are the same three."""
    text = text.lower().replace("’", "'").replace("%", " percent")
    text = re.sub(r"\$([\d.,]*\d)", r"\1 dollars", text)
    text = re.sub(r"(?<=\d)[,.:-](?=\d)", "", text)
    text = re.sub(r"\b([a-z])\.(?=[a-z]\b|\s|$)", r"\1 ", text)  # "p.m." is two letters, as it is spoken
    text = re.sub(r"(?<=\w)'(?=\w)", "", text)
    found = (SAME_WORD.get(word, word) for word in re.findall(r"[^\W\d]+|\d+", text))
    return [part for word in found for part in _split_digits(NUMBERS.get(word, word))]


def _split_digits(word: str) -> list[str]:
    return list(word) if word.isdigit() else [word]


Pair = tuple[str | None, str | None]


def _joined_like(these: list[str], those: list[str]) -> list[str]:
    """`these`, with each pair of neighbours that stands as one word in `those` joined."""
    known, alone = set(those), set(pairwise(those))
    joined: list[str] = []
    for word in these:
        if joined and joined[-1] + word in known and (joined[-1], word) not in alone and not word.isdigit():
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def align(reference: str, heard: str) -> list[Pair]:
    """The cheapest pairing of expected and heard words; None stands for a word missing on that side.

    A word written as two, "take away", is the same as one.
    """
    expected, got = words(reference), words(heard)
    expected, got = _joined_like(expected, got), _joined_like(got, expected)
    cost = [[i + j if not i or not j else 0 for j in range(len(got) + 1)] for i in range(len(expected) + 1)]
    for i, word in enumerate(expected, start=1):
        for j, other in enumerate(got, start=1):
            cost[i][j] = min(cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (word != other))
    pairs: list[Pair] = []
    i, j = len(expected), len(got)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (expected[i - 1] != got[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((expected[i], got[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((expected[i], None))
        else:
            j -= 1
            pairs.append((None, got[j]))
    return pairs[::-1]


def errors(pairs: list[Pair]) -> tuple[int, int]:
    """Wrong, missing and added words, and the number of expected words."""
    return sum(a != b for a, b in pairs), sum(a is not None for a, _ in pairs)


def without(pairs: list[Pair], left_out: frozenset[str]) -> list[Pair]:
    """The pairs but for expected words of `left_out`, and words added next to one of them."""
    kept = []
    for index, (expected, heard) in enumerate(pairs):
        beside = {pairs[i][0] for i in (index - 1, index + 1) if 0 <= i < len(pairs)}
        if expected in left_out or (expected is None and beside & left_out):
            continue
        kept.append((expected, heard))
    return kept
