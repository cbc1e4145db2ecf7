from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation import folder as folders
from evaluation import scoring
from evaluation.core import ANSWERS, SCORES, Answer, Score, kept, read_result, written
from evaluation.errors import RunError
from tests.evaluation.scripted import dataset


def answer(id: str, reference: str, text: str, **more: Any) -> Answer:
    return Answer(
        **{"id": id, "instruction": "?", "question": "", "reference": reference, "answer": text, **more}
    )


def kept_in(tmp_path: Path, *answers: Answer) -> Path:
    folder = tmp_path / "mine" / "set"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ANSWERS).write_bytes(b"".join(map(written, answers)))
    return folder


def test_a_clip_without_an_answer_counts_as_all_its_words_deleted(tmp_path: Path) -> None:
    folder = kept_in(
        tmp_path,
        answer("a", "one bright cold day", "one bright day", group="x"),
        answer("b", "in april again", "in april again", group="y"),
        answer("c", "the clocks were striking", "", problem="It broke.", group="y"),
    )
    result = scoring.score(folder, dataset())
    assert result.value == pytest.approx((1 + 0 + 4) / (4 + 3 + 4))
    assert result.without_failures == pytest.approx(1 / 7)
    assert result.groups == {"x": pytest.approx(1 / 4), "y": pytest.approx(4 / 7)}
    assert (result.n, result.answered, result.success_rate) == (3, 2, pytest.approx(2 / 3))
    assert result.low <= result.value <= result.high
    assert result.signature.startswith("jiwer 4")
    assert read_result(folder / "result.json") == result
    scores = {score.id: score for score in kept(folder / SCORES, Score)}
    assert (scores["a"].value, scores["a"].ok, scores["a"].detail["deletions"]) == (0.25, True, 1)
    assert (scores["c"].value, scores["c"].ok, scores["c"].detail["problem"]) == (1.0, False, "It broke.")


def test_a_failure_is_no_hit_even_where_nothing_was_said(tmp_path: Path) -> None:
    """An empty reference and an empty answer are one hit, by AudioBench's rule; a failure is none."""
    silent, failed = answer("a", "", ""), answer("b", "", "", problem="It broke.")
    assert scoring.score(kept_in(tmp_path, silent), dataset()).value == 0.0
    assert scoring.score(kept_in(tmp_path, failed), dataset()).value == 1.0


def test_the_part_that_counts_is_scored_even_if_it_is_empty(tmp_path: Path) -> None:
    folder = kept_in(
        tmp_path,
        answer("a", "good day", 'It says "good day".', counted="good day"),
        answer("b", "good day", 'good day ""', counted=""),
    )
    result = scoring.score(folder, dataset())
    assert result.value == pytest.approx(2 / 4)


def test_part_4_has_a_normaliser_of_its_own(tmp_path: Path) -> None:
    folder = kept_in(tmp_path, answer("a", "十二点", "十二 点"))
    assert scoring.score(folder, dataset()).value == 2.0  # one word against two
    assert scoring.score(folder, dataset(metric="wer_part4")).value == 0.0


def test_translations(tmp_path: Path) -> None:
    line = "the cat sat on the mat in the sun"
    folder = kept_in(
        tmp_path, answer("a", line, line), answer("b", line, line), answer("c", line, "", problem="No.")
    )
    result = scoring.score(folder, dataset(metric="bleu", tokenizer="13a", task="st"))
    assert result.without_failures == pytest.approx(100.0)
    assert 0 < result.value < 100
    assert result.tokenizer == "13a"
    assert "tok:13a" in result.signature


def test_string_match_and_accepted_phrases(tmp_path: Path) -> None:
    options = ("(A) Man", "(B) Woman")
    folder = kept_in(
        tmp_path,
        answer("a", options[0], "Man", choices=options),
        answer("b", options[0], "Woman", choices=options),
        answer("c", options[0], "", choices=options),
        answer("d", options[0], "Man", choices=options, problem="Cut off."),
    )
    result = scoring.score(folder, dataset(metric="mmau", fields={"choices": "choices"}, task="audio"))
    assert (result.value, result.without_failures) == (25.0, pytest.approx(100 / 3))
    folder = kept_in(
        tmp_path,
        answer("a", "male", "A man speaks.", choices=("male", "man"), rejected=("female", "woman")),
        answer("b", "male", "A man or a woman.", choices=("male", "man"), rejected=("female", "woman")),
        answer("c", "Three fifteen", "It is 3:15."),
    )
    assert scoring.score(folder, dataset(metric="contains")).value == pytest.approx(200 / 3)


def test_the_order_in_which_answers_came_does_not_matter(tmp_path: Path) -> None:
    answers = [answer(f"c{n}", f"word {n} of many", f"word {n % 7} of many") for n in range(40)]
    one = scoring.score(kept_in(tmp_path / "1", *answers), dataset())
    two = scoring.score(kept_in(tmp_path / "2", *reversed(answers)), dataset())
    assert (one.value, one.low, one.high) == (two.value, two.low, two.high)


@pytest.mark.parametrize(
    ("run", "corpus", "whole"),
    [
        ({"clips": 2, "limit": None}, None, True),
        ({"clips": 2, "limit": 2}, None, False),
        ({"clips": None, "limit": None}, None, False),  # it is still running, or was stopped
        ({"clips": 2, "limit": None}, 3, False),  # the copy was not whole
        ({"clips": None, "limit": None}, 2, False),
        ({}, 2, True),
        ({}, 3, False),
        ({}, None, False),
    ],
)
def test_whether_it_is_the_whole_data_set(
    tmp_path: Path, run: dict[str, Any], corpus: int | None, whole: bool
) -> None:
    folder = kept_in(tmp_path, answer("a", "x", "x"), answer("b", "x", "x"))
    if run:
        folders.write(folder, {"asked": {"system": {}}, **run})
    size = {"n": corpus, "size_from": "the test"} if corpus else {}
    assert scoring.score(folder, dataset(**size)).whole is whole


def test_a_folder_without_answers(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no answers"):
        scoring.score(tmp_path, dataset())


def test_results_may_go_elsewhere(tmp_path: Path) -> None:
    folder, into = kept_in(tmp_path, answer("a", "x", "x")), tmp_path / "mine" / "other"
    result = scoring.score(folder, dataset(id="other"), into=into)
    assert (result.system, result.dataset) == ("mine", "other")
    assert json.loads((into / "result.json").read_text())["dataset"] == "other"
    assert not (folder / "result.json").exists()
