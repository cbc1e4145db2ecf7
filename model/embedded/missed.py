"""Speech that Whisper has passed over: it now and then leaves out a sentence when the voice changes.

The words' times betray it: a stretch of speech in which hardly a word begins. Such a stretch is read again by
itself, and its words are put in their place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import SequenceMatcher

from model.long_audio.readings import Word
from model.long_audio.spans import Span

SHORTEST = 1.5  # s; less may be a cough, a laugh, or one word drawn out
SLOWEST = 2.5  # s a word: nobody speaks as slowly for so long
EARLY = 0.15  # s by which a word's time may be before its sound
NEAR = 3.0  # s around a stretch where its words may have been timed wrongly
ALIKE = 0.5  # of the words read again, found nearby: they had been read after all
UNSURE = -1.0  # mean log-probability of a word, below which it is rather noise (Whisper's own bound)


def passed_over(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """The stretches of speech of a window that hardly a word begins in."""
    return [
        span
        for span in speech
        if span.seconds >= SHORTEST
        and sum(span.start - EARLY <= word.start < span.end for word in words) < span.seconds / SLOWEST
    ]


def is_news(found: Sequence[Word], words: Sequence[Word], stretch: Span) -> bool:
    """Say whether words that were read again are surely speech, and were not read before."""
    if not found or sum(math.log(max(word.probability, 1e-6)) for word in found) / len(found) < UNSURE:
        return False
    nearby = [w for w in words if w.end > stretch.start - NEAR and w.start < stretch.end + NEAR]
    again = SequenceMatcher(None, [_bare(w) for w in found], [_bare(w) for w in nearby], autojunk=False)
    return sum(block.size for block in again.get_matching_blocks()) < ALIKE * len(found)


def put_in(found: Sequence[Word], words: Sequence[Word], stretch: Span, speech: Sequence[Span]) -> list[Word]:
    """The words of a window with those of a stretch in their place, none reaching into it from outside."""
    said_until = max((span.end for span in speech if span.end <= stretch.start), default=-math.inf)

    def is_before(word: Word) -> bool:
        # A word timed over the whole stretch belongs to the speech it begins in; in a pause, to what follows.
        return word.start < stretch.start and (word.end <= stretch.end or word.start < said_until)

    before = [Word(w.text, w.start, min(w.end, stretch.start), w.probability) for w in words if is_before(w)]
    after = [
        Word(w.text, max(w.start, stretch.end), max(w.end, stretch.end), w.probability)
        for w in words
        if not is_before(w)
    ]
    return [*before, *found, *after]


def _bare(word: Word) -> str:
    return "".join(letter for letter in word.text.lower() if letter.isalnum())
