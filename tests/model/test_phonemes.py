"""Text to phonemes: what people in Singapore would type, and what nobody should."""

import json
import re

import pytest

from model.embedded.lexicon import LEXICONS, LexiconFile
from model.embedded.phonemes import SINGLISH, Phonemizer, sentences
from model.embedded.spoken_numbers import in_words
from model.embedded.weights import kokoro_vocab, locate


@pytest.fixture(scope="module")
def us() -> Phonemizer:
    return Phonemizer("us")


@pytest.fixture(scope="module")
def gb() -> Phonemizer:
    return Phonemizer("gb")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Blk 123", "block one two three"),
        ("block 12", "block twelve"),
        ("bus 147", "bus one four seven"),
        ("$5.50", "five dollars fifty"),
        ("S$0.80", "eighty cents"),
        ("$1", "one dollar"),
        ("$450,000", "four hundred and fifty thousand dollars"),
        ("$3 million", "three million dollars"),
        ("$10-15", "ten dollars to fifteen"),
        ("7:30pm", "seven thirty P M"),
        ("at 9am. Then", "at nine A M. Then"),
        ("9:05", "nine oh five"),
        ("in 1965", "in nineteen sixty-five"),
        ("in 2005", "in two thousand and five"),
        ("in 2026", "in twenty twenty-six"),
        ("1,205", "one thousand two hundred and five"),
        ("3.14", "three point one four"),
        ("21st", "twenty-first"),
        ("12th", "twelfth"),
        ("the 1980s", "the nineteen eighties"),
        ("09/08/2026", "ninth August twenty twenty-six"),
        ("Call 6123 4567", "Call six one two three, four five six seven"),
        ("Singapore 560123", "Singapore five six zero one two three"),
        ("#05-123", "number zero five dash one two three"),
        ("98.5%", "ninety-eight point five percent"),
        ("33°C", "thirty-three degrees Celsius"),
        ("5km", "five kilometres"),
        ("5G", "five G"),
        ("-5", "minus five"),
        ("10-15 people", "ten to fifteen people"),
        ("Mr Tan and Dr. Lim", "mister Tan and doctor Lim"),
        ("like that lor. Then", "like that lor. Then"),
        ("007", "zero zero seven"),
    ],
)
def test_numbers_and_shorthand_in_words(written: str, said: str) -> None:
    assert in_words(written) == said


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("Hello, world!", "həlˈO, wˈɜɹld!"),
        ("the apple", "ði ˈæpᵊl"),
        ("the tree", "ðə tɹˈi"),
        ("a man", "ɐ mˈæn"),
        ("to eat", "tʊ ˈit"),
        ("to go", "tə ɡˌO"),
        ("HDB", "ˌAʧdˌibˈi"),
        ("PIE", "pˌiˌIˈi"),
        ("pie", "pˈI"),
        ("I live here.", "ˌI lˈɪv hˈɪɹ."),
        ("I used to read.", "ˌI jˈust tə ɹˈid."),
        ("I have read it.", "ˌI hæv ɹˈɛd ɪt."),
        ("kopi-o kosong", "kˈOpi ˈO kˈOsɔŋ"),
        ("Toa Payoh", "tˈOɑ pˈɑjO"),
        ("hoping", "hˈOpɪŋ"),
        ("cities' boxes", "sˈɪtiz bˈɑksᵻz"),
        ("foodcourt", "fˈudkˌɔɹt"),
        ("Café", "kæfˈA"),
        ("Ms Ng's", "mˈɪz ˈʌŋz"),
    ],
)
def test_phonemes(us: Phonemizer, text: str, phonemes: str) -> None:
    assert us(text) == phonemes


def test_an_accent_has_its_own_lexicon(us: Phonemizer, gb: Phonemizer) -> None:
    assert us("water") == "wˈɔTəɹ"
    assert gb("water") == "wˈɔːtə"


def test_an_unknown_word_is_guessed(us: Phonemizer) -> None:
    assert re.fullmatch(r"[bˈˌ]+lˈ?ɪ.*", us("blixtorp"))


def test_everything_said_is_in_the_models_alphabet(us: Phonemizer, gb: Phonemizer) -> None:
    alphabet = set(json.loads(kokoro_vocab().read_text(encoding="utf-8"))["vocab"])
    words = [
        line.split("\t")[0] for line in SINGLISH.read_text(encoding="utf-8").splitlines() if "\t" in line
    ]
    assert len(words) > 150
    for phonemizer in (us, gb):
        for word in words:
            sounds = phonemizer(word)
            assert sounds, word
            assert set(sounds) <= alphabet, word


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "😀" * 500,
        "你好，世界。",
        "\x00\x01",
        "\ud800",
        "'" * 99,
        "... --- !!!",
        "$" * 99,
        "#€¥",
        "()[]{}<>",
    ],
)
def test_nothing_to_say(us: Phonemizer, text: str) -> None:
    assert us(text) == ""
    assert [us(sentence) for sentence in sentences(text) if us(sentence)] == []


@pytest.mark.parametrize(
    "text",
    [
        "x" * 20_000,
        "A" * 500,
        "9" * 5_000,
        "O'" * 300,
        "ß ١٢٣ ½ ①",
        "hello 你好 😀 world",
        "<start_of_turn>",
        "a.b.c@d.e/f?g=h&i",
    ],
)
def test_strange_text_is_said_somehow(us: Phonemizer, text: str) -> None:
    assert us(text)


def test_sentences_do_not_end_at_titles_or_decimals() -> None:
    text = "Mr. Tan paid $3.50 at 7 p.m. yesterday. Really? “Yes.” He did\nA new line"
    assert [sentence.rstrip() for sentence in sentences(text)] == [
        "mister Tan paid three dollars fifty at seven P M yesterday.",
        "Really?",
        "“Yes.",
        "He did",
        "A new line",
    ]


def test_lexicon_files_are_sorted_as_the_search_needs() -> None:
    for path in (locate(gold) for gold, _ in LEXICONS.values()):
        lexicon = LexiconFile(path)
        assert lexicon.get("zebra") is not None
        assert lexicon.get("aardvark") is not None
        assert lexicon.get("DEFAULT") is None
        assert lexicon.get("no such word") is None
        assert lexicon.get("ÿÿÿ") is None
        keys = re.findall(rb'^  "(.*?)": ', path.read_bytes(), re.MULTILINE)
        assert keys == sorted(keys)
