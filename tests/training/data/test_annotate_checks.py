"""Which answers of a language model become rows, and why others do not."""

from __future__ import annotations

import json

import pytest

from training.data.annotate.checks import REASONS, judged
from training.data.annotate.config import Rules
from training.data.annotate.questions import Question, is_dialogue, words_of

SAID = "Uncle Tan bought 3 packets of chicken rice at Toa Payoh because it was raining heavily."
TALK = (
    "<Speaker1>: Shall we meet on Friday? <Speaker2>: Friday cannot leh, I must go to Bedok. "
    "<Speaker1>: Then Saturday at seven thirty? <Speaker2>: Can, see you at the library."
)


def sqa(question: str, answer: str) -> str:
    return json.dumps({"question": question, "answer": answer})


@pytest.mark.parametrize(
    "reply",
    [
        sqa("What did Uncle Tan buy?", "Three packets of chicken rice."),
        sqa("Why did he buy food there?", "Because it was raining heavily."),
        sqa("How many packets were bought?", "3"),
        sqa("Was it raining?", "Yes."),
        f"```json\n{sqa('Where was it?', 'At Toa Payoh.')}\n```",
    ],
)
def test_good_questions_are_kept(reply: str) -> None:
    assert judged(Question("r", "sqa", "", SAID), reply, Rules()).reason == ""


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("x" * 50_000, "too_long"),
        ("[" * 3_000, "not_json"),
        ("I'm sorry, but I cannot assist with that.", "refusal"),
        ("What did he buy? Chicken rice.", "not_json"),
        ("[1, 2]", "not_json"),
        ('{"question": "What did he buy?"}', "missing"),
        ('{"question": "What did he buy?", "answer": 3}', "missing"),
        (sqa("他买了什么东西？", "鸡饭。"), "not_english"),
        (sqa("What does the transcript say he bought?", "Chicken rice."), "meta"),
        (sqa("What did Speaker1 buy?", "Chicken rice."), "label"),
        (sqa("Tell me what he bought.", "Chicken rice."), "no_question"),
        (sqa("What did he pay?", "It is not mentioned."), "unanswerable"),
        (sqa("Did he buy chicken rice?", "Chicken rice."), "given_away"),
        (sqa("What did he buy?", "Seven durians from Malaysia."), "not_grounded"),
        (sqa("How many packets?", "7 packets of chicken rice"), "not_grounded"),
        (sqa("What did he buy?", "Chicken rice. " * 30), "too_long"),
    ],
)
def test_bad_questions_are_dropped_by_name(reply: str, reason: str) -> None:
    assert judged(Question("r", "sqa", "", SAID), reply, Rules()).reason == reason
    assert reason in REASONS


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        ("Two people agree to meet at the library on Saturday.", ""),
        ("They meet on Sunday with Rachel.", "not_grounded"),
        ("They meet at 9 on Saturday.", "not_grounded"),
        ("Speaker 1 asks Speaker 2 to meet.", "label"),
        ("The transcript is about a meeting.", "meta"),
        ("They meet at the library. " * 8, "not_shorter"),
    ],
)
def test_summaries_hold_to_what_was_said(summary: str, reason: str) -> None:
    reply = json.dumps({"summary": summary})
    assert judged(Question("r", "sds", "", TALK), reply, Rules()).reason == reason


@pytest.mark.parametrize(
    ("task", "label", "reply", "reason"),
    [
        ("gender", "woman", "You are listening to a woman.", ""),
        ("gender", "man", "A male voice is heard here.", ""),
        ("gender", "man", "A woman is speaking.", "wrong_label"),
        ("gender", "woman", "It could be a man or a woman.", "wrong_label"),
        ("accent", "Malay", '"Their speech has a Malay accent."', ""),
        ("accent", "Malay", "They sound Indian.", "wrong_label"),
    ],
)
def test_phrasings_say_what_is_known(task: str, label: str, reply: str, reason: str) -> None:
    verdict = judged(Question("r", task, "", label=label), reply, Rules())
    assert verdict.reason == reason
    assert not verdict.answer.startswith('"')


def test_labels_are_not_words() -> None:
    assert is_dialogue(TALK)
    assert not is_dialogue(SAID)
    assert words_of("<Speaker1>: Hello. <speaker 2> Hi.") == "Hello. Hi."
