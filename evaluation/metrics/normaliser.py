"""AudioBench's text normaliser on top of Whisper's: `standard`, and `part4` for MNSC part 4.

Source: AudioBench at e991641, `src/dataset_src/text_normalizer/`, whose results these are on every text on
which it gives one. It surprises; each surprise is kept, since the published figures have it, and said where
it arises.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version

import jiwer

from evaluation.metrics.brackets import without_angled, without_mixed, without_round
from evaluation.metrics.whisper_parts import english, plain_characters, whisper_version

Normalise = Callable[[str], str]

_KEPT = ".%$¢€£"  # symbols that may belong to a number
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
DIGIT_WORDS = {str(number): word for number, word in enumerate(_UNITS.split())} | {
    f"{ten}0": word for ten, word in enumerate(_TENS.split(), 2)
}

_SPACE_BEFORE_APOSTROPHE = re.compile(r"(?<!\s)\s++'")
_COMMA_IN_NUMBER = re.compile(r"(\d),(\d)")
_FULL_STOP = re.compile(r"\.([^0-9]|$)")
_SIGN_BEFORE_OTHER = re.compile(r"[.$¢€£]([^0-9])")
_PERCENT_AFTER_OTHER = re.compile(r"([^0-9])%")
_SPACES = re.compile(r"\s+")
_NUMBER = re.compile(rf"\b(?:{'|'.join(DIGIT_WORDS)})\b")
_FILLERS = re.compile(r"\b(?:uh|umm|um|er|ah)\b")
_CHINESE = re.compile(r"(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])")
_LONG_NUMBER = re.compile(r"\d{4000,}")


def standard(text: str) -> str:
    """The words of `text` between spaces, of which there may be several in a row; may be empty."""
    return _in_parts_if_too_long(_standard, text)


def part4(text: str) -> str:
    """As `standard`, for speech that mixes English with Chinese, Malay and Tamil.

    Symbols and diacritics are not taken out by Whisper's rule, so `+ < = ~ |`, Tamil vowel signs and
    full-width letters survive, and punctuation goes without leaving a space: "2-for-1" is "twoforone",
    "10:30" "tenthirty". A curly apostrophe goes in the same way: don’t is "dont" (`standard`: "don t").
    """
    return _in_parts_if_too_long(_part4, text)


def whisper(text: str) -> str:
    """Whisper's own normalisation and nothing more, for what is not compared with AudioBench."""
    return _in_parts_if_too_long(lambda part: _whisper(part, symbols=False), text)


def signature(for_part4: bool = False) -> str:
    """Which rules and versions a WER hangs on."""
    rules = "audiobench-part4" if for_part4 else "audiobench"
    versions = f"whisper:{whisper_version()}|jiwer:{version('jiwer')}|unicode:{unicodedata.unidata_version}"
    return f"norm:{rules}|{versions}"


def _standard(text: str) -> str:
    return _after_whisper(_whisper(text, symbols=False))


def _part4(text: str) -> str:
    text = _after_whisper(_whisper(text, symbols=True))
    # Between neighbours only: at a border with Latin letters or digits none is put in, so 好like is one word.
    # In the standard path a whole run of Chinese is one word.
    return _SPACES.sub(" ", _CHINESE.sub(" ", text))


def _whisper(text: str, symbols: bool) -> str:
    """Whisper's EnglishTextNormalizer; with `symbols`, AudioBench's variant that leaves them in."""
    parts = english()
    text = without_round(without_angled(text.lower()))
    text = _ignored().sub("", text)
    # "like 'cause" becomes "like'cause" and so, in part 4, "likecause".
    text = _SPACE_BEFORE_APOSTROPHE.sub("'", text)
    for literal, pattern, replacement in _replacers():
        if literal in text:
            text = pattern.sub(replacement, text)
    text = _FULL_STOP.sub(r" \1", _COMMA_IN_NUMBER.sub(r"\1\2", text))
    if not symbols:
        # What was in { } stays as a word, since only brackets are symbols; Tamil vowel signs go too.
        text = unicodedata.normalize("NFKD", text).translate(plain_characters(_KEPT))
    # Spoken numbers merge here and digits do not: "five six" is 56, "5 6" stays. "oh" and "o" are zeros: "oh
    # my god" gives "zero my god", and "3 o'clock" "thirty clock" (part 4, which keeps the apostrophe here:
    # "three oclock"). Ordinals become digits. Without `symbols` the commas are gone by now, so that numbers
    # merge across them; with it they do not.
    text = parts.standardize_spellings(parts.standardize_numbers(text))
    text = _PERCENT_AFTER_OTHER.sub(r"\1 ", _SIGN_BEFORE_OTHER.sub(r" \1", text))
    return _SPACES.sub(" ", text)


def _after_whisper(text: str) -> str:
    """What AudioBench does after Whisper's rules.

    Its own table of contractions ("i'm" and 21 more) is left out, since it changes nothing: Whisper has
    expanded them, and what slips through ("i'm5") jiwer expands to the same words.
    """
    # Before punctuation goes: 1.5 is "onefive", S$5.50 "s$fivefifty". `$ € £ ¢` stay, `%` goes as
    # punctuation, so that 20 %, "twenty percent" and "twenty" are equal.
    text = _NUMBER.sub(lambda found: DIGIT_WORDS[found[0]], text)
    text = without_mixed(text)  # finds nothing in the standard path, where Whisper has taken all brackets out
    text = _one_space(text)
    # Fires in part 4 only, and as damage: 'super' is "isuper", 'tis "notis".
    text = without_angled(_expand(text)).translate(_punctuation())
    # Singlish particles go with the fillers. The double spaces this leaves stay; WER splits on any number.
    return _FILLERS.sub("", text).strip()


def _in_parts_if_too_long(normalise: Normalise, text: str) -> str:
    """Word by word, long numbers cut, where Whisper's rules fail: on numbers of more than 4,300 digits.

    Python does not convert these, so AudioBench has no result to agree with. A model that repeats itself
    writes them.
    """
    try:
        return normalise(text)
    except (AssertionError, ValueError):
        return " ".join(
            normalise(_LONG_NUMBER.sub(lambda found: found[0][:4000], word)) for word in text.split()
        )


@cache
def _ignored() -> re.Pattern[str]:
    return re.compile(english().ignore_patterns)


@cache
def _replacers() -> list[tuple[str, re.Pattern[str], str]]:
    """Whisper's replacements in order, each with the letters a text must hold for it to apply."""
    return [
        (pattern.removeprefix(r"\b").removesuffix(r"\b"), re.compile(pattern), replacement)
        for pattern, replacement in english().replacers.items()
    ]


_one_space = jiwer.RemoveMultipleSpaces()
_expand = jiwer.ExpandCommonEnglishContractions()


@cache
def _punctuation() -> dict[int, None]:
    """For str.translate: what jiwer's RemovePunctuation deletes."""
    removed: Iterable[str] = jiwer.RemovePunctuation().tokens_to_remove  # type: ignore[no-untyped-call]
    return dict.fromkeys(map(ord, removed))
