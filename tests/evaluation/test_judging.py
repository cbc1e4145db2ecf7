from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluation import judgements, judging, scoring
from evaluation.core import ANSWERS, Answer, written
from evaluation.errors import EndpointError, MetricError, RegistryError
from evaluation.judging import LONGEST, Judge
from tests.backend.fake_engine import Behaviour, breaks_after, refuses, says
from tests.evaluation.scripted import Scripted, dataset, in_turn, refuses_for, system

TALK = {"id": "talk", "task": "sqa", "metric": "judge", "scale": 5}
GOOD = "Explanation: they agree.\nRating: 4"


def answer(number: int, text: str = "at noon", **more: object) -> Answer:
    told = {
        "id": f"clip-{number}",
        "instruction": f"When? (clip-{number})",
        "question": "",
        "reference": "at twelve",
    }
    return Answer(**{**told, "answer": text, **more})  # type: ignore[arg-type]


def kept_in(folder: Path, *answers: Answer) -> Path:
    folder = folder / "scripted" / "talk"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ANSWERS).write_bytes(b"".join(map(written, answers)))
    return folder


def judge_of(endpoint: Scripted, **more: object) -> Judge:
    return Judge(system(endpoint, **more), judging.load_prompts())


def test_the_judge_reads_all_four_blocks_and_its_reply_is_kept_raw(tmp_path: Path) -> None:
    with Scripted(lambda clip, _: says(GOOD)) as endpoint:
        folder = kept_in(tmp_path, answer(1, question="What does it say of noon?"))
        judge = judging.judge(folder, [answer(1, question="clip-1: noon?")], 5, judge_of(endpoint))
        (body,) = endpoint.bodies
        host = endpoint.engine.url.removeprefix("http://")
    text = body["messages"][0]["content"]
    assert re.findall(r"^\[(.+)\]$", text, re.MULTILINE) == [
        "Reference Answer",
        "Model Answer",
        "Question",
        "Task",
    ]
    assert "[Reference Answer]\nat twelve\n\n[Model Answer]\nat noon\n\n[Question]\nclip-1: noon?\n" in text
    assert (body["max_tokens"], body["temperature"]) == (512, 0)
    assert judge.id == f"tiny at {host}"
    (said,) = judgements.read(folder)
    assert (said.id, said.judge, said.scale, said.replies, said.rating) == (
        "clip-1",
        judge.id,
        5,
        (GOOD,),
        4.0,
    )


def test_braces_in_an_answer_are_no_places(tmp_path: Path) -> None:
    with Scripted(lambda clip, _: says(GOOD)) as endpoint:
        folder = kept_in(tmp_path)
        judging.judge(folder, [answer(1, "{reference} {question} {0} {")], 5, judge_of(endpoint))
        assert (
            "[Model Answer]\n{reference} {question} {0} {\n" in endpoint.bodies[0]["messages"][0]["content"]
        )


def test_nobody_is_asked_twice_and_an_answer_that_changed_is(tmp_path: Path) -> None:
    with Scripted(lambda clip, _: says("Rating: 1")) as endpoint:
        judge, folder = judge_of(endpoint), kept_in(tmp_path)
        judging.judge(folder, [answer(1), answer(2)], 5, judge)
        judging.judge(folder, [answer(1), answer(2, "at one"), answer(3)], 5, judge)
        assert sorted(endpoint.log) == ["clip-1", "clip-2", "clip-2", "clip-3"]
        judging.judge(folder, [answer(1)], 1, judge)  # another scale is another judgement
        assert len(endpoint.log) == 5


def test_what_needs_no_judge_is_not_sent(tmp_path: Path) -> None:
    answers = [
        answer(1, ""),
        answer(2, " \n"),
        answer(3, "x", problem="It broke."),
        answer(4, 'Answer: ""', counted=""),
    ]
    with Scripted() as endpoint:
        folder = kept_in(tmp_path, *answers)
        judging.judge(folder, answers, 5, judge_of(endpoint))
        assert endpoint.log == []
    result = scoring.score(folder, dataset(**TALK))
    assert (result.value, result.success_rate, result.answered) == (0.0, 0.75, 3)


def test_a_reply_without_form_is_asked_for_twice_more_and_then_fails(tmp_path: Path) -> None:
    def script(clip: str, asked: int) -> Behaviour:
        return says(GOOD if clip == "clip-2" and asked == 3 else "I would say (4).")

    answers = [answer(1), answer(2)]
    with Scripted(script) as endpoint:
        folder = kept_in(tmp_path, *answers)
        judging.judge(folder, answers, 5, judge_of(endpoint))
        judging.judge(folder, answers, 5, judge_of(endpoint))  # it had its say
        assert sorted(endpoint.log) == ["clip-1"] * 3 + ["clip-2"] * 3
        assert sorted(body["temperature"] for body in endpoint.bodies) == [0, 0, 0.7, 0.7, 0.7, 0.7]
    first, second = sorted(judgements.read(folder), key=lambda one: one.id)
    assert first.replies == ("I would say (4).",) * 3
    assert first.problem == "The judge followed no form in 3 replies."
    assert second.rating == 4.0
    result = scoring.score(folder, dataset(**TALK))
    assert (result.value, result.success_rate, result.without_failures) == (40.0, 0.5, 80.0)


@pytest.mark.parametrize("trouble", [refuses_for(429, "0"), breaks_after("Rating"), refuses(502)])
def test_the_same_patience_as_for_systems(tmp_path: Path, trouble: Behaviour) -> None:
    with Scripted(in_turn(trouble, trouble, says(GOOD))) as endpoint:
        folder = kept_in(tmp_path)
        judging.judge(folder, [answer(1)], 5, judge_of(endpoint))
    assert judgements.read(folder)[0].rating == 4.0


def test_a_judge_that_goes_away_is_asked_again_later(tmp_path: Path) -> None:
    answers = [answer(number) for number in range(20)]
    with Scripted(lambda clip, _: says(GOOD) if len(endpoint.log) <= 3 else refuses(500)) as endpoint:
        folder = kept_in(tmp_path, *answers)
        with pytest.raises(EndpointError, match=r"has not replied 5 times in a row"):
            judging.judge(folder, answers, 5, judge_of(endpoint))
        endpoint.script = lambda clip, _: says(GOOD)
        endpoint.log.clear()
        judging.judge(folder, answers, 5, judge_of(endpoint))
        assert len(endpoint.log) == 17
    assert scoring.score(folder, dataset(**TALK)).value == 80.0


def test_a_long_answer_is_shortened_and_that_is_told(tmp_path: Path) -> None:
    long = "x" * (LONGEST + 1_500)
    with Scripted(lambda clip, _: says(GOOD)) as endpoint:
        folder = kept_in(tmp_path, answer(1, long))
        judging.judge(folder, [answer(1, long)], 5, judge_of(endpoint))
        text = endpoint.bodies[0]["messages"][0]["content"]
    assert "x" * LONGEST + "\n[The rest of the answer, 1,500 characters, is left out here.]" in text
    assert "x" * (LONGEST + 1) not in text
    assert judgements.read(folder)[0].shortened == 1_500
    scoring.score(folder, dataset(**TALK))
    assert "did not see the last 1,500 characters" in (folder / "scores.jsonl").read_text()


def test_judges_prompts_and_scales_are_never_mixed(tmp_path: Path) -> None:
    with (
        Scripted(lambda clip, _: says("Rating: 5")) as kind,
        Scripted(lambda clip, _: says("Rating: 1")) as strict,
    ):
        folder = kept_in(tmp_path, answer(1))
        ids = [judging.judge(folder, [answer(1)], 5, judge_of(endpoint)).id for endpoint in (kind, strict)]
    with pytest.raises(MetricError, match="rated more than once"):
        scoring.score(folder, dataset(**TALK))
    assert [scoring.score(folder, dataset(**TALK), judge=one).value for one in ids] == [100.0, 20.0]
    assert scoring.score(folder, dataset(**TALK), judge=ids[1]).judge == ids[1]
    with pytest.raises(MetricError, match="No judge has rated"):
        scoring.score(folder, dataset(**{**TALK, "scale": 1}))


def test_what_is_not_rated_yet_is_not_scored_as_anything(tmp_path: Path) -> None:
    with Scripted(lambda clip, _: says(GOOD)) as endpoint:
        folder = kept_in(tmp_path, answer(1), answer(2))
        judging.judge(folder, [answer(1)], 5, judge_of(endpoint))
    with pytest.raises(MetricError, match=r"1 of 2 answers .* are not rated yet"):
        scoring.score(folder, dataset(**TALK))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scale_5]\nprompt = '{reference} {answer} {question}'", "needs tables"),
        ("[scale_5]\nprompt = 'x'\n[scale_1]\nprompt = 'y'", "must contain {reference}"),
        ("[", "is not valid TOML: .* Mend that line"),
        (None, "cannot be read"),
    ],
)
def test_prompts_that_are_no_use(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "prompts.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RegistryError, match=said):
        judging.load_prompts(file)
