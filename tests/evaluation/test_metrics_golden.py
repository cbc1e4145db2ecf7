"""Values from AudioBench's own functions, and worked out by hand from the definitions; each says which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.metrics import bleu, judge, mmau, normaliser, wer

_GOLDEN = Path(__file__).parent / "golden"
_RULES = {"standard": normaliser.standard, "part4": normaliser.part4}


def _cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_GOLDEN / f"{name}.jsonl").read_text("utf-8").split("\n") if line]


@pytest.mark.parametrize("case", _cases("normaliser"), ids=lambda case: f"{case['rules']}-{case['text']!a}")
def test_normalised_text(case: dict[str, Any]) -> None:
    assert _RULES[case["rules"]](case["text"]) == case["expect"], case["from"]


@pytest.mark.parametrize("case", _cases("wer"), ids=lambda case: case["from"])
def test_word_errors(case: dict[str, Any]) -> None:
    found = wer.errors(case["ref"], case["hyp"], case["part4"])
    assert (found.edits, found.words) == (case["edits"], case["words"])
    assert found.edits == found.substitutions + found.deletions + found.insertions


@pytest.mark.parametrize("part4", [False, True])
def test_a_corpus_rate_is_edits_over_words_and_not_a_mean_of_rates(part4: bool) -> None:
    cases = [case for case in _cases("wer") if case["part4"] == part4]
    found = wer.corpus([wer.errors(case["ref"], case["hyp"], part4) for case in cases])
    assert found == sum(case["edits"] for case in cases) / sum(case["words"] for case in cases)


@pytest.mark.parametrize("case", _cases("bleu"), ids=lambda case: f"{case['tokenize']}-{case['from'][-40:]}")
def test_bleu(case: dict[str, Any]) -> None:
    found = bleu.corpus(case["references"], case["hypotheses"], case["tokenize"])
    assert found.value == pytest.approx(case["expect"], abs=1e-9), case["from"]
    assert f"|tok:{case['tokenize']}|smooth:exp|" in found.signature
    assert "|eff:no|" in found.signature


@pytest.mark.parametrize("case", _cases("judge"), ids=lambda case: f"{case['scale']}-{case['reply']!a}")
def test_a_judges_reply(case: dict[str, Any]) -> None:
    assert judge.rating(case["reply"], case["scale"]) == case["expect"], case["from"]


@pytest.mark.parametrize("case", _cases("mmau"), ids=lambda case: f"{case['answer']}-{case['prediction']!a}")
def test_string_match(case: dict[str, Any]) -> None:
    assert mmau.is_right(case["answer"], case["choices"], case["prediction"]) == case["expect"], case["from"]


@pytest.mark.parametrize(
    ("rules", "text", "words"),
    [
        ("standard", "{laugh} ok", "laugh ok"),  # braces are only symbols to Whisper
        ("part4", "{laugh} ok", "ok"),
        ("part4", "{noise} ok", "noise ok"),  # no "n" may stand inside
        ("part4", "<a} b", "b"),  # the ends may differ
        ("part4", "'super'", "isuper"),
        ("part4", "'tis", "notis"),
        ("part4", "like 'cause", "likecause"),
        ("standard", "like 'cause", "like cause"),
        ("standard", "don’t", "don t"),
        ("part4", "don’t", "dont"),
        ("standard", "1.5", "onefive"),
        ("standard", "3.14", "threefourteen"),
        ("standard", "S$5.50", "s$fivefifty"),
        ("standard", "20 %", "twenty"),
        ("standard", "twenty percent", "twenty"),
        ("standard", "oh my god", "zero my god"),
        ("standard", "3 o'clock", "thirty clock"),
        ("part4", "3 o'clock", "three oclock"),
        ("standard", "five six", "56"),
        ("standard", "5 6", "five six"),
        ("standard", "five, six", "56"),
        ("part4", "five, six", "five six"),
        ("standard", "first", "1st"),
        ("part4", "2-for-1", "twoforone"),
        ("part4", "10:30", "tenthirty"),
        ("part4", "a=b ~ |", "a=b ~ |"),
        ("part4", "நன்றி", "நன்றி"),
        ("standard", "நன்றி", "நனற"),
        ("part4", "ｆｕｌｌ", "ｆｕｌｌ"),
        ("standard", "ｆｕｌｌ", "full"),
        ("part4", "你好like啦", "你 好like啦"),
        ("standard", "你好吗", "你好吗"),
        ("standard", "a ah b", "a  b"),  # both spaces stay
        ("part4", "a ah b", "a b"),
    ],
)
def test_where_the_rules_surprise(rules: str, text: str, words: str) -> None:
    assert _RULES[rules](text) == words
