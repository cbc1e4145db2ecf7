"""English text to the phonemes that Kokoro was trained on (misaki's alphabet), with the words of Singapore.

A word is looked up in our own list (`singlish.tsv`), in the lexicon files of the misaki wheel (Apache-2.0;
read as data, the package is never imported), as stem and ending, as two known words in one, and is at last
guessed by `letter_to_sound`. No GPL phonemiser is involved.
"""

# ruff: noqa: SIM905 - a list of words reads better as text

import csv
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from model.embedded.letter_to_sound import LONGEST_WORD, LetterToSound
from model.embedded.lexicon import LEXICONS, Accent, LexiconFile, british
from model.embedded.spoken_numbers import in_words
from model.embedded.weights import SPELLER, locate

SINGLISH = Path(__file__).with_name("singlish.tsv")
SPELT = "*"  # in singlish.tsv: say the letters' names

VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ")
PUNCTUATION = frozenset(';:,.!?—…"()“”')
TOKEN = re.compile(
    r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?|[;:,.!?—…\"()“”]"
)  # words with inner apostrophes, or a mark
FROM_OTHER_SCRIPTS = str.maketrans({"。": ".", "、": ",", "–": "—", "‘": "'", "’": "'"})
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"”')]*\s+")

# The word before decides how a word with two sounds is said.
DETERMINERS = frozenset(
    "a an the this that these those my your his her its our their no any some every".split()
)
VERB_AHEAD = frozenset(
    (
        "to will can could would should may might must shall do does did don't doesn't didn't won't can't "
        "cannot i you we they who please let's"
    ).split()
)
PERFECT_AHEAD = frozenset(
    "have has had having i've you've we've they've was were been is are be being".split()
)


def _plain_letters(word: str) -> str:
    """Accents taken off, other scripts dropped: "Café" is "Cafe", "你好" is ""."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(
        letter for letter in decomposed if letter.isascii() and (letter.isalpha() or letter == "'")
    )


def sentences(text: str) -> Iterator[str]:
    """The sentences of `text`, numbers already in words, so that "Mr. Tan" and "3.5" do not end one."""
    for line in unicodedata.normalize("NFKC", text).translate(FROM_OTHER_SCRIPTS).splitlines():
        yield from (sentence for sentence in SENTENCE_END.split(in_words(line)) if sentence.strip())


class Phonemizer:
    """Text to phonemes for one accent. Safe to share between threads; no input raises."""

    def __init__(self, accent: Accent = "us") -> None:
        self.accent = accent
        self._lexicons = [LexiconFile(locate(asset)) for asset in LEXICONS[accent]]
        self._guess = LetterToSound(locate(SPELLER))
        with SINGLISH.open(encoding="utf-8") as rows:
            lines = (line for line in rows if line.strip() and not line.startswith("#"))
            self._local = {row[0]: row[1] for row in csv.reader(lines, delimiter="\t")}
        self._entry = lru_cache(maxsize=16384)(self._find)

    def __call__(self, text: str) -> str:
        """Phonemes with stress, spaces and punctuation; "" when nothing in `text` can be said."""
        text = " ".join(unicodedata.normalize("NFKC", text).translate(FROM_OTHER_SCRIPTS).split())
        tokens = TOKEN.findall(re.sub(r"(?<=[^\W\d_])[-/](?=[^\W\d_])", " ", in_words(text)))
        shouting = text.isupper() and len(tokens) > 3
        said: list[str] = []
        for token in reversed(tokens):  # from the end: the sound that follows decides "the", "a" and "to"
            if token in PUNCTUATION:
                said.append(token)
                continue
            index = len(tokens) - len(said) - 1
            before = tokens[index - 1].lower() if index else ""
            said.append(
                self._in_context(token.lower() if shouting else token, before, said[-1] if said else "")
            )
        return self._joined(said[::-1])

    @staticmethod
    def _joined(said: list[str]) -> str:
        text = " ".join(sounds for sounds in said if sounds)
        text = re.sub(r" (?=[;:,.!?…)”])|(?<=[(“]) ", "", text)
        text = re.sub(
            r"([;:,.!?…—])(?:[;:,.!?…—]|\s)*(?=[;:,.!?…—])", "", text
        )  # the last mark of a run is kept
        text = text.strip(" ,;:—")
        return text if any(sound in VOWELS or sound.isalpha() for sound in text) else ""

    def _in_context(self, word: str, before: str, following: str) -> str:
        """The word's sounds, given the word before it and the sounds after it ("" at the end)."""
        first = following.lstrip("ˈˌ")[:1]
        ends = not first or first in PUNCTUATION
        match word:
            case "the" | "The":
                return "ði" if first in VOWELS else "ðə"
            case "a" | "A" if not ends:
                return "ɐ" if word == "a" or before in ("", *PUNCTUATION) else self._letters("a")
            case "an" | "An":
                return "ɐn"
            case "to" | "To" if not ends:
                return "tʊ" if first in VOWELS else "tə"
            case "I":
                return "ˌI"
        entry = self._entry(word)
        if isinstance(entry, str):
            return entry
        if ends and "None" in entry:
            kind = "None"
        elif before in VERB_AHEAD:
            kind = "VERB"
        elif before in DETERMINERS:
            kind = "NOUN"
        elif before in PERFECT_AHEAD:
            kind = "VBN"
        else:
            kind = "DEFAULT"
        if word.lower() == "used" and following.startswith(("tə", "tʊ", "tu")):
            kind = "VBD"
        if word.lower() in ("live", "lives") and kind == "DEFAULT" and before not in PUNCTUATION and before:
            kind = "VERB"
        return self._spoken(entry.get(kind) or entry["DEFAULT"] or "")

    def _spoken(self, phonemes: str) -> str:
        return phonemes.replace("ɾ", "T").replace("ʔ", "t")

    def _find(self, word: str) -> str | dict[str, str | None]:
        """What the lexicons, the endings or the guess say about a word; "" without letters we know."""
        word = _plain_letters(word).strip("'") if not word.isascii() else word
        if not word.strip("'"):
            return ""
        found = self._known(word)
        if isinstance(found, dict):
            return found
        if found is None and word.isupper() and len(word) <= 6:
            found = self._letters(word)
        if found is None and len(word) <= LONGEST_WORD:
            found = self._with_ending(word.lower()) or self._compound(word.lower())
        if found is None:
            guess = self._guess(re.sub("[^a-z]", "", word.lower()))
            found = british(guess) if self.accent == "gb" else guess
        return self._spoken(found)

    def _known(self, word: str) -> str | dict[str, str | None] | None:
        """The entry of a word as it stands, in small letters, or capitalised."""
        small = word.lower()
        local = self._local.get(word) or self._local.get(small)
        if local == SPELT:
            return self._letters(word)
        if local:
            return british(local) if self.accent == "gb" else local
        if len(word) == 1:
            return self._letters(word)
        forms = dict.fromkeys((word, small, word.capitalize()))
        return next(
            (found for form in forms for lexicon in self._lexicons if (found := lexicon.get(form))), None
        )

    def _letters(self, word: str) -> str:
        """The names of the letters, the last one stressed: "HDB"."""
        names = [self._lexicons[0].get(letter) for letter in word.upper() if letter.isalpha()]
        spelt = "".join(name for name in names if isinstance(name, str)).replace("ˈ", "ˌ")
        head, mark, tail = spelt.rpartition("ˌ")
        return f"{head}ˈ{tail}" if mark else spelt

    def _stem(self, *stems: str) -> str | None:
        """Sounds of the first stem that is known."""
        for stem in stems:
            found = self._known(stem) if len(stem) > 1 else None
            if found:
                return found if isinstance(found, str) else found["DEFAULT"]
        return None

    def _with_ending(self, word: str) -> str | None:
        """A known stem with 's, -s, -ed, -ing or -ly."""
        if word.endswith(("'s", "'")) and (stem := self._stem(word.removesuffix("s").removesuffix("'"))):
            return stem + self._plural(stem) if word.endswith("s") else stem
        if word.endswith("s") and not word.endswith("ss"):
            singular = [word[:-1]]
            if word.endswith("ies"):
                singular.append(f"{word[:-3]}y")
            elif word.endswith("es"):
                singular.append(word[:-2])
            if stem := self._stem(*singular):
                return stem + self._plural(stem)
        for ending, sounds in (
            ("ing", "ɪŋ"),
            ("ed", ""),
            ("ly", "li"),
            ("er", "əɹ" if self.accent == "us" else "ə"),
        ):
            root = word.removesuffix(ending)
            if root == word or len(root) < 2:
                continue
            doubled = root[:-1] if root[-1] == root[-2] else root
            stem = self._stem(root, f"{root}e", doubled, f"{root[:-1]}y" if root.endswith("i") else root)
            if stem:
                return stem + (sounds or self._past(stem))
        return None

    def _plural(self, stem: str) -> str:
        if stem[-1] in "ptkfθ":
            return "s"
        weak = "ᵻ" if self.accent == "us" else "ɪ"
        return f"{weak}z" if stem[-1] in "szʃʒʧʤ" else "z"

    def _past(self, stem: str) -> str:
        if stem[-1] in "pkfθʃsʧ":
            return "t"
        weak = "ᵻ" if self.accent == "us" else "ɪ"
        return f"{weak}d" if stem[-1] in "td" else "d"

    def _compound(self, word: str) -> str | None:
        """Two known words in one, "foodcourt": the first keeps the main stress."""
        for cut in sorted(range(3, len(word) - 2), key=lambda cut: abs(2 * cut - len(word))):
            first, second = self._stem(word[:cut]), self._stem(word[cut:])
            if first and second and "ˈ" in first + second:
                return first + second.replace("ˈ", "ˌ")
        return None
