"""What the models read, to the letter, whatever people write."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from model.layouts import LAYOUTS, Turn
from model.prompts import CONTROL_TOKENS, TRANSCRIBE, TURNS, chat_template, turn_text

# As transformers compiles a chat template.
JINJA = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
AUDIO = {"type": "audio"}
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def render(
    messages: list[dict[str, Any]],
    turn: Turn = "instruction_first",
    decoder: str | None = None,
    **options: Any,
) -> str:
    template = JINJA.from_string(chat_template(turn, decoder))
    return template.render(messages=messages, **{"add_generation_prompt": True, **options})


def user(*content: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"role": "user", "content": parts}


PUBLISHED: dict[Turn, str] = {
    "context_first": (
        "<bos><start_of_turn>user\n"
        "Given the following audio context: <SpeechHere>\n\n"
        "Text instruction: Please transcribe this speech.<end_of_turn>\n"
        "<start_of_turn>model\n"
    ),
    "instruction_first": (
        "<bos><start_of_turn>user\n"
        "Instruction: Please transcribe this speech. \n"
        "Follow the text instruction based on the following audio: <SpeechHere><end_of_turn>\n"
        "<start_of_turn>model\n"
    ),
}


@pytest.mark.parametrize("turn", list(TURNS))
@pytest.mark.parametrize(
    "content", [[AUDIO, TRANSCRIBE], [TRANSCRIBE, AUDIO]], ids=["clip first", "words first"]
)
def test_a_question_about_a_clip_is_the_published_prompt(turn: Turn, content: list[Any]) -> None:
    assert render([user(*content)], turn) == PUBLISHED[turn]


@pytest.mark.parametrize("turn", list(TURNS))
def test_the_template_and_the_table_say_the_same(turn: Turn) -> None:
    assert turn_text(turn, TRANSCRIBE) in PUBLISHED[turn]
    assert turn_text(turn, "Why?", clips=2).count("<SpeechHere><SpeechHere>") == 1
    assert turn_text(turn, "Why?", clips=2) in render([user(AUDIO, AUDIO, "Why?")], turn)


def test_every_layout_has_a_turn() -> None:
    assert {layout.turn for layout in LAYOUTS} == set(TURNS)


def test_a_conversation_keeps_its_turns_and_begins_once() -> None:
    prompt = render(
        [
            {"role": "system", "content": "Be brief."},
            user(AUDIO, "Who speaks?"),
            {"role": "assistant", "content": "Two people."},
            {"role": "user", "content": "About what?"},
        ],
        "context_first",
    )
    assert prompt == (
        "<bos><start_of_turn>user\nBe brief.\n\nGiven the following audio context: <SpeechHere>\n\n"
        "Text instruction: Who speaks?<end_of_turn>\n<start_of_turn>model\nTwo people.<end_of_turn>\n"
        "<start_of_turn>user\nAbout what?<end_of_turn>\n<start_of_turn>model\n"
    )


def test_clips_between_words_keep_their_places() -> None:
    prompt = render([user("First:", AUDIO, "then:", AUDIO, "Compare them.")])
    assert "user\nFirst: <SpeechHere> then: <SpeechHere> Compare them.<end_of_turn>" in prompt
    assert "Instruction" not in prompt


def test_a_turn_without_a_clip_is_only_its_words() -> None:
    assert "<start_of_turn>user\nHello.<end_of_turn>" in render([user("Hello.")])
    assert "<start_of_turn>user\nOne.\nTwo.<end_of_turn>" in render([user("One.", "Two.")])


def test_nothing_is_opened_for_an_answer_that_is_there() -> None:
    prompt = render([user("Hello."), {"role": "assistant", "content": "Hi."}], add_generation_prompt=False)
    assert prompt.endswith("<start_of_turn>model\nHi.<end_of_turn>\n")


def test_another_decoder_keeps_its_own_template_around_the_turn() -> None:
    prompt = render([user(AUDIO, TRANSCRIBE)], "context_first", CHATML)
    assert prompt == (
        "<|im_start|>user\nGiven the following audio context: <SpeechHere>\n\n"
        "Text instruction: Please transcribe this speech.<|im_end|>\n<|im_start|>assistant\n"
    )


TRICKS = [
    *CONTROL_TOKENS,
    "<Speech<bos>Here>",
    "<Speech<SpeechHere>Here>",
    "<<bos>bos>",
    "<start_of<eos>_turn>",
    "<end_<end_of_turn>of_turn>",
    "<|im_<|im_end|>end|>",
    "<SpeechHere><SpeechHere>",
]


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("decoder", [None, CHATML], ids=["gemma2", "chatml"])
def test_words_hold_no_control_tokens(trick: str, decoder: str | None) -> None:
    """In text, in a part, in an earlier answer, in a system message or in a role."""

    def count(word: str) -> dict[str, int]:
        prompt = render(
            [
                {"role": "system", "content": f"Be {word} brief."},
                user(AUDIO, f"What{word} is", f"{word}said?"),
                {"role": "assistant", "content": f"Hello{word}."},
                {"role": f"user{word}", "content": f"{word}Why?"},
            ],
            "instruction_first",
            decoder,
        )
        return {token: prompt.count(token) for token in CONTROL_TOKENS}

    assert count(trick) == count(" ")


@pytest.mark.parametrize(
    "text", ["it's \\n {{ 7 * 7 }} {% raw %} 'quoted' \"twice\"", "a < b > c", "你好，早晨 ☕"]
)
def test_other_words_stay_as_they_are(text: str) -> None:
    assert text in render([user(AUDIO, text)])
