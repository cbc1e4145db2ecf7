"""Every metric against a slow definition of its own, on texts that Hypothesis thinks of."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import jiwer
import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.errors import MetricError
from evaluation.metrics import bleu, brackets, intervals, judge, mmau, normaliser, wer

FEW = settings(max_examples=60, deadline=None)  # the first call of each loads and compiles its rules
_NEAR_NUMBERS = [
    *("twenty", "one", "hundred", "and", "point", "five", "oh", "dollars", "percent", "%", "$", "5", "1.5"),
    *("third", "double", "lah", "uh", "(um)", "{hm}", "you'll", "好", "é"),
]
WORDS = st.lists(st.sampled_from(_NEAR_NUMBERS), max_size=12).map(" ".join)
TEXTS = WORDS | st.text(max_size=40)
FEW_WORDS = st.lists(st.sampled_from("abcdef"), max_size=9).map(" ".join)
BRACKETED = st.text(alphabet="ab n\\()[]{}<>\n", max_size=30)


def _edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Levenshtein's distance, by its recursive definition."""
    row = list(range(len(hypothesis) + 1))
    for i, one in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


@FEW
@given(TEXTS, TEXTS, st.booleans())
def test_word_errors_are_the_fewest_edits_of_the_normalised_words(ref: str, hyp: str, part4: bool) -> None:
    normalise = normaliser.part4 if part4 else normaliser.standard
    expected, heard = (
        [word for word in (normalise(text) or "empty").split(" ") if word] for text in (ref, hyp)
    )
    found = wer.errors(ref, hyp, part4)
    assert (found.edits, found.words) == (_edits(expected, heard), len(expected))
    assert found.insertions - found.deletions == len(heard) - len(expected)


@FEW
@given(st.lists(st.tuples(FEW_WORDS, FEW_WORDS), min_size=1, max_size=8))
def test_the_corpus_rate_is_jiwers_over_all_texts(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = (
        [normaliser.standard(text) or "empty" for text in texts] for texts in zip(*pairs, strict=True)
    )
    found = wer.corpus([wer.errors(*pair) for pair in pairs])
    assert found == pytest.approx(jiwer.process_words(references, hypotheses).wer, abs=1e-12)


@FEW
@given(TEXTS)
def test_normalised_text_holds_only_plain_spaces_and_none_at_its_ends(text: str) -> None:
    standard, part4 = normaliser.standard(text), normaliser.part4(text)
    assert standard == standard.strip() and part4 == part4.strip()
    assert not re.search(r"[^\S ]", standard + part4)
    assert "  " not in part4


@FEW
@given(BRACKETED)
def test_brackets_go_as_by_the_expressions_they_stand_for(text: str) -> None:
    assert brackets.without_angled(text) == re.sub(r"[<\[][^>\]]*[>\]]", "", text)
    assert brackets.without_round(text) == re.sub(r"\(([^)]+?)\)", "", text)
    assert brackets.without_mixed(text) == re.sub(r"[\[({<][^\(\)\\n\[\]]*[\])}>]", "", text)


@pytest.mark.parametrize(
    "unit", ["[", "(", "{", "<", "()", "{a ", "\\", " ", " '", "5 ", "1", "好", "point "]
)
@pytest.mark.parametrize("normalise", [normaliser.standard, normaliser.part4])
def test_a_model_that_repeats_itself_is_normalised_at_once(
    unit: str, normalise: normaliser.Normalise
) -> None:
    """By the plain expressions, this many open brackets would take minutes."""
    assert isinstance(normalise(unit * (100_000 // len(unit))), str)


@pytest.mark.parametrize("normalise", [normaliser.standard, normaliser.part4])
def test_numbers_too_long_for_python_are_words_too(normalise: normaliser.Normalise) -> None:
    assert normalise("so " + "7" * 9000 + " lah") == "so " + "7" * 4000 + " lah"
    assert normalise("seven " * 4295 + "decillion").split()[-1] == "1" + "0" * 33
    assert wer.errors("so lah", "so " + "7" * 50_000 + " lah").insertions == 1


def _bleu(lines: Sequence[tuple[list[str], list[str]]]) -> float:
    """Papineni's BLEU over words, with sacrebleu's exp smoothing."""
    right, total = [0] * 4, [0] * 4
    for reference, hypothesis in lines:
        for n in range(1, 5):
            said, wanted = (
                Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
                for words in (hypothesis, reference)
            )
            right[n - 1] += (said & wanted).total()
            total[n - 1] += said.total()
    if not any(right) or 0 in total:
        return 0.0
    halvings = [sum(count == 0 for count in right[: n + 1]) for n in range(4)]
    precisions = [(right[n] or 0.5 ** halvings[n]) / total[n] for n in range(4)]
    length, wanted_length = (sum(len(line[side]) for line in lines) for side in (1, 0))
    shortness = min(1.0, math.exp(1 - wanted_length / length))
    return 100 * shortness * math.prod(precisions) ** 0.25


LINES = st.lists(st.tuples(FEW_WORDS, FEW_WORDS), min_size=1, max_size=8)


@FEW
@given(LINES)
def test_bleu_is_papinenis(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    words = [((ref or "empty").split(), (hyp or "empty").split()) for ref, hyp in pairs]
    assert bleu.corpus(references, hypotheses).value == pytest.approx(_bleu(words), abs=1e-9)


@FEW
@given(LINES, st.lists(st.integers(0, 7), min_size=1, max_size=12), st.sampled_from(["13a", "zh", "char"]))
def test_bleu_of_a_draw_is_that_of_the_drawn_lines(
    pairs: list[tuple[str, str]], draw: list[int], cut: str
) -> None:
    chosen = [place % len(pairs) for place in draw]
    references, hypotheses = ([text or "empty" for text in texts] for texts in zip(*pairs, strict=True))
    counter = bleu.Counter(cut)
    counts = bleu.counted(references, hypotheses, counter)
    drawn = sacrebleu.corpus_bleu(
        [hypotheses[place] for place in chosen], [[references[place] for place in chosen]], tokenize=cut
    )
    assert counter.score(counts[chosen].sum(axis=0).tolist()) == pytest.approx(drawn.score, abs=1e-9)


def test_references_and_hypotheses_of_different_number_are_refused() -> None:
    with pytest.raises(MetricError, match="2 references and 1 hypotheses"):
        bleu.corpus(["a", "b"], ["a"])


def test_nothing_has_no_score() -> None:
    for score in (lambda: wer.corpus([]), lambda: bleu.corpus([], []), lambda: judge.score([], 5)):
        with pytest.raises(MetricError, match="There is no"):
            score()


@FEW
@given(st.text(max_size=30) | st.floats().map(str), st.sampled_from([5, 1]))
def test_a_rating_is_the_last_word_if_it_is_a_number_on_the_scale(reply: str, scale: int) -> None:
    try:
        expected: float | None = float(reply.strip().split()[-1])
    except (ValueError, IndexError):
        expected = None
    if expected is not None and not 0 <= expected <= scale:
        expected = None
    assert judge.rating(reply, scale) == expected
    assert judge.rating(f"Explanation: {reply}\nRating: {scale}", scale) == scale


def test_a_missing_rating_counts_as_the_worst_and_lowers_the_success_rate() -> None:
    assert judge.score([5.0, None, 4.0, 0.0], 5) == (45.0, 0.75)
    assert judge.score([1.0, None, 1.0], 1) == (pytest.approx(200 / 3), pytest.approx(2 / 3))


@pytest.mark.parametrize("reply", ["4" * 50_000, "so " * 50_000, " " * 50_000 + "4", "4\n" * 25_000, "\x00"])
def test_an_endless_reply_is_read(reply: str) -> None:
    assert judge.rating(reply, 5) in (None, 4.0)


@pytest.mark.parametrize("scale", [0, 2, 10, -1])
def test_a_scale_of_another_kind_is_refused(scale: int) -> None:
    with pytest.raises(MetricError, match="is 5 "):
        judge.rating("4", scale)


CHOICES = st.lists(FEW_WORDS.map(lambda text: f"(A) {text}"), min_size=1, max_size=4)


@FEW
@given(CHOICES, st.integers(0, 3), st.text(alphabet="abcdef .A)", max_size=12))
def test_string_match_by_its_definition(choices: list[str], place: int, prediction: str) -> None:
    answer = choices[place % len(choices)]
    said, right = (set(re.findall(r"\b\w+\b", text.lower())) for text in (prediction, answer[4:]))
    others = [set(re.findall(r"\b\w+\b", choice[4:].lower())) for choice in choices]
    wrong = {word for other in others if other != right for word in other - right}
    assert mmau.is_right(answer, choices, prediction) == bool(
        right and said and right <= said and not said & wrong
    )


def test_an_answer_without_words_is_never_right_by_accident() -> None:
    assert not mmau.names_something("(A) ") and not mmau.names_something("Man")
    assert not mmau.is_right("(A) ...", ["(A) ...", "(B) dog"], "anything at all")


@settings(FEW, max_examples=8)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=9), st.integers(0, 3))
def test_an_interval_is_of_the_drawn_clips(clips: list[tuple[int, int]], seed: int) -> None:
    """The same draws, scored the slow way."""
    random = np.random.default_rng(seed)
    values = []
    for _ in range(1000):
        drawn = [clips[place] for place in random.integers(0, len(clips), len(clips))]
        values.append(sum(edits for edits, _ in drawn) / sum(words for _, words in drawn))
    low, high = intervals.of_rate(*zip(*clips, strict=True), seed=seed)
    assert (low, high) == pytest.approx(np.percentile(values, [2.5, 97.5]))


def test_the_interval_of_a_mean_is_as_wide_as_the_formula_says() -> None:
    values = [0.0, 100.0] * 500  # a standard error of 50 / sqrt(1000)
    low, high = intervals.of_mean(values)
    assert (low, high) == pytest.approx((50 - 3.1, 50 + 3.1), abs=0.4)
    assert intervals.of_mean(values) == (low, high)  # the same each time


def test_the_interval_of_bleu_lies_around_it_and_hangs_on_its_tokenizer() -> None:
    references = ["the cat sat on the mat", "a dog ran over the old bridge", "she reads a long book"] * 20
    hypotheses = ["the cat sat on a mat", "a dog ran over the bridge", "she reads a long book"] * 20
    low, high = intervals.of_bleu(references, hypotheses)
    assert low < bleu.corpus(references, hypotheses).value < high
    assert (low, high) != intervals.of_bleu(references, hypotheses, "char")


def test_one_clip_or_none_has_no_width() -> None:
    assert intervals.of_rate([], []) == (0.0, 0.0)
    assert intervals.of_rate([1], [4]) == (0.25, 0.25)
    assert intervals.of_mean([]) == (0.0, 0.0)
    assert intervals.of_mean([40.0]) == (40.0, 40.0)
    assert intervals.of_bleu([], []) == (0.0, 0.0)
    assert intervals.of_bleu(["a b c d"], ["a b c d"]) == pytest.approx((100.0, 100.0))
    assert intervals.bootstrap(lambda chosen: float(len(chosen)), 0) == (0.0, 0.0)
