"""MERaLiON-Mini as `python -m model.serve meralion-mini` serves it: like the embedded engine, no run-on."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from model.audio import Pcm, decode, seconds, wav_bytes
from model.checkpoints.assemble import assembled
from model.embedded.answer import Turn
from model.embedded.weights import default_cache
from model.long_audio.windows import cut
from model.mini import MINI_ID, WEIGHTS
from model.mini.audio_llm import AudioLLM
from model.mini.shipped import Shipped
from model.mini.tokenizer import Words
from model.mini.writer import Asked, Step, Writer
from model.prompts import TRANSCRIBE
from tests.speech import sample
from tests.vllm.parity import Ask, Reference
from tests.vllm.served import LIMITS, Served

pytestmark = pytest.mark.slow

SHORT, LONG = "sg-school", "st-hotel"  # 17 s, and 35 s, which are two windows of the encoder
TOLERANCE = 1e-3  # of a log-prob, in fp32
THREADS = 2


class Ours(NamedTuple):
    """The model in NumPy."""

    model: AudioLLM
    config: Shipped
    words: Words


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(Path(MINI_ID), tmp_path_factory.mktemp("mini") / "log", LIMITS)
    yield server
    server.end()


@pytest.fixture(scope="module")
def ours() -> Ours:
    return Ours(*AudioLLM.load(WEIGHTS, default_cache(), THREADS))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(assembled(WEIGHTS, default_cache()))


def write(ours: Ours, pcm: Pcm) -> list[Step]:
    """What the embedded engine writes, token by token."""
    prompt = ours.words.prompt([Turn("user", TRANSCRIBE, (pcm,))])
    asked = Asked([pcm], prompt, ours.config.generation.longest(seconds(pcm)))
    return [step for step in Writer(*ours).write(asked) if step.token is not None]


def ask(mini: Served, file: bytes, begun: str = "", **more: Any) -> httpx.Response:
    clip = {"data": base64.b64encode(file).decode(), "format": "wav"}
    content = [{"type": "input_audio", "input_audio": clip}, {"type": "text", "text": TRANSCRIBE}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if begun:
        messages.append({"role": "assistant", "content": begun})
        more |= {"continue_final_message": True, "add_generation_prompt": False}
    return mini.post("/v1/chat/completions", json={"model": mini.name, "messages": messages, **more})


def tokens_of(mini: Served, file: bytes, begun: str = "", **more: Any) -> tuple[list[int], list[int], str]:
    """Of the prompt, of the answer, and why it ended."""
    answer = ask(mini, file, begun, return_token_ids=True, **more)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return answer.json()["prompt_token_ids"], choice["token_ids"], choice["finish_reason"]


def test_it_says_how_its_answers_are_written(mini: Served) -> None:
    assert mini.name == MINI_ID
    assert "\n  guard      no 6 tokens twice: meralion-mini was made for it\n" in mini.log
    assert "\n  answers    32 tokens, and 8 for each second of sound" in mini.log


@pytest.mark.parametrize("name", [SHORT, LONG])
def test_vllm_numpy_and_transformers_agree_on_each_token_of_an_answer(
    name: str, mini: Served, ours: Ours, reference: Reference
) -> None:
    pcm = decode(sample(name))
    steps = write(ours, pcm)
    tokens = [step.token for step in steps if step.token is not None]
    log_probs = np.array([step.log_prob for step in steps])

    answer = ask(mini, sample(name), return_token_ids=True, logprobs=True).json()
    (choice,) = answer["choices"]
    assert (choice["token_ids"], choice["finish_reason"]) == (tokens, steps[-1].finish_reason)
    served = np.array([one["logprob"] for one in choice["logprobs"]["content"]])
    assert np.abs(served - log_probs).max() < TOLERANCE

    clip = pcm.astype(np.float32) / np.float32(32_768)
    one = Ask(reference.prompt(1), (clip,))
    assert reference.processor(one.text, [clip])["input_ids"][0].tolist() == answer["prompt_token_ids"]
    expected = reference.log_probs(one, tokens)[np.arange(len(tokens)), tokens].numpy()
    assert np.abs(served - expected).max() < TOLERANCE


def test_an_answer_is_as_long_as_its_sound_and_says_nothing_twice(mini: Served, ours: Ours) -> None:
    """`ignore_eos` makes it run on. Asked for more in each way that vLLM takes, for no number, for less."""
    file = wav_bytes(decode(sample(SHORT))[: 5 * 16_000])
    rules = ours.config.generation
    longest = rules.longest(5)
    less: dict[str, Any] = {"max_completion_tokens": 9, "max_tokens": 1_000}
    for most in ({"max_tokens": 1_000}, {"max_tokens": "1000"}, {"max_completion_tokens": 1e3}, {}, less):
        _, answer, why = tokens_of(mini, file, ignore_eos=True, **most)
        assert (len(answer), why) == (9 if most is less else longest, "length")
        before: set[tuple[int, ...]] = set()
        for at in range(len(answer) - 5):
            row = tuple(answer[at : at + 6])
            assert row not in before or {row[-1]} & {*rules.may_repeat} or {*row[:-1]} <= {*rules.may_repeat}
            before.add(row)


def test_a_beginning_counts_as_well(mini: Served, ours: Ours) -> None:
    begun = "Good evening, and welcome to the school"
    file = wav_bytes(decode(sample(SHORT))[: 5 * 16_000])
    _, answer, why = tokens_of(mini, file, begun, ignore_eos=True)
    assert len(answer) == ours.config.generation.longest(5) - len(ours.words.ids(begun, ()))
    assert why == "length"


def test_a_recording_is_written_down_as_by_the_embedded_engine(mini: Served, ours: Ours) -> None:
    pcm = decode(sample(LONG))
    found = list(cut(pcm, ours.config.generation.window))
    assert len(found) >= 3
    windows = [np.asarray(window.of(pcm), np.int16) for window in found]
    expected = [word for window in windows for word in "".join(s.text for s in write(ours, window)).split()]
    reply = mini.post("/v1/audio/transcriptions", files={"file": wav_bytes(pcm)}, data={"model": mini.name})
    assert reply.status_code == 200, reply.text
    assert reply.json()["text"].split() == expected


def silence() -> Pcm:
    return np.zeros(16_000, np.int16)


@pytest.mark.parametrize(
    ("file", "code"), [(wav_bytes(silence()), "audio_silent"), (b"Only words.\n" * 80, "audio_not_audio")]
)
def test_what_cannot_be_heard_is_explained(mini: Served, file: bytes, code: str) -> None:
    reply = ask(mini, file)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)


def test_more_than_it_holds_is_refused_in_vllms_words(mini: Served) -> None:
    clip = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    messages = [{"role": "user", "content": [clip] * 9}]
    reply = mini.post("/v1/chat/completions", json={"model": mini.name, "messages": messages})
    assert reply.status_code == 400
    assert "More clips were sent" in reply.json()["error"]["message"]
