"""The small audio LLM as a model of the embedded engine, over the real packaged weights.

Its adapter was never trained, so what it writes means nothing; how it writes is looked at. That the numbers
are torch's is held by `tests/training/test_mini_parity.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from model.audio import Pcm, decode
from model.embedded import weights
from model.embedded.answer import Account, Turn
from model.embedded.begun import ForeignBeginning
from model.embedded.intents import Task
from model.embedded.listener import NO_SPEECH
from model.embedded.recogniser import Recognised
from model.embedded.text_model import Sampling, TextModelError
from model.errors import BadRequest
from model.mini.audio_llm import AudioLLM
from model.mini.choice import Choice
from model.mini.engine import Mini
from model.mini.functional import log_softmax
from model.mini.writer import Asked, Writer
from tests.model import mini
from tests.speech import sample

QUESTION = "Please transcribe this speech."
LONG = Sampling(max_tokens=500)


@dataclass
class Said:
    """An answer, in the pieces in which it came."""

    pieces: list[str] = field(default_factory=list)
    heard: str = ""
    account: Account = field(default_factory=Account)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AudioLLM, Mini, Writer]]:
    folder = mini.ship(tmp_path_factory.mktemp("mini"))
    model, config, words = AudioLLM.load(folder, weights.default_cache())
    yield model, Mini(model, config, words), Writer(model, config, words)


@pytest.fixture(scope="module")
def engine(loaded: tuple[AudioLLM, Mini, Writer]) -> Mini:
    return loaded[1]


@pytest.fixture(scope="module")
def clip() -> Pcm:
    return decode(sample("st-weather"))[: 5 * 16_000]


def ask(engine: Mini, turns: list[Turn], sampling: Sampling = LONG, begun: str = "") -> Said:
    async def read() -> Said:
        said = Said()
        async for event in engine.answer(turns, sampling, said.account, begun):
            said.heard += event.heard
            if event.text:
                said.pieces.append(event.text)
        return said

    return asyncio.run(read())


def about(clip: Pcm, question: str = QUESTION) -> list[Turn]:
    return [Turn("user", question, (clip,))]


def test_an_answer_is_streamed_bounded_by_its_clip_and_the_same_each_time(engine: Mini, clip: Pcm) -> None:
    first, again = ask(engine, about(clip)), ask(engine, about(clip))
    assert first.text == again.text  # though the second time the clip was not heard again
    assert len(first.pieces) > 5 and "\ufffd" not in first.text
    assert first.account.finish_reason == "length"
    assert first.account.completion_tokens == 8 + 1 * 5  # as config.json says
    assert first.account.audio_seconds == 5
    assert 100 < first.account.prompt_tokens < 200
    assert ask(engine, about(clip), Sampling(max_tokens=4)).account.completion_tokens == 4


def test_nothing_of_six_tokens_is_written_twice(loaded: tuple[AudioLLM, Mini, Writer]) -> None:
    """With the guard, and by a decoder that would like nothing better than to say the same again.

    What the prompt says may be said: a question may name the words that answer it.
    """
    writer = loaded[2]
    asked = Asked((), "na na na na na na na na na na na na", 24)
    steps = [step for step in writer.write(asked) if step.token is not None]
    tokens = [step.token for step in steps if step.token is not None]
    rows = [tuple(tokens[at : at + 6]) for at in range(len(tokens) - 5)]
    assert len(rows) > 6
    assert len(set(rows)) == len(rows)
    prompt = writer.ids(asked)
    assert tokens[:6] == prompt[-6:]
    assert all(step.log_prob <= 0 for step in steps)


def test_it_is_smollm2_where_it_hears_nothing(loaded: tuple[AudioLLM, Mini, Writer]) -> None:
    """The packaged decoder through this code: with a LoRA of zero it knows what it knew."""
    _, engine, writer = loaded
    prompt = engine._words.prompt([Turn("user", "What is the capital of France?")])
    answer = "".join(step.text for step in writer.write(Asked((), prompt, 20)))
    assert "Paris" in answer


def test_sampling_hangs_on_the_seed(engine: Mini, clip: Pcm) -> None:
    texts = [
        ask(engine, about(clip), Sampling(temperature=1.0, top_p=0.9, seed=seed, max_tokens=12)).text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_begun_answer_goes_on_and_counts(engine: Mini, clip: Pcm) -> None:
    whole = ask(engine, about(clip))
    begun = "".join(whole.pieces[:10])
    rest = ask(engine, about(clip), begun=begun)
    assert 0 < rest.account.completion_tokens < whole.account.completion_tokens
    over = ask(engine, about(clip), begun=whole.text * 3)
    assert (over.text, over.account.finish_reason) == ("", "length")


def test_a_stop_text_ends_the_answer(engine: Mini, clip: Pcm) -> None:
    whole = ask(engine, about(clip)).text
    middle = whole[len(whole) // 2 :][:3]
    said = ask(engine, about(clip), Sampling(max_tokens=500, stop=(middle,)))
    assert said.text == whole[: whole.index(middle)] and said.account.finish_reason == "stop"


def test_a_follow_up_is_about_the_same_clip(engine: Mini, clip: Pcm) -> None:
    turns = [*about(clip), Turn("assistant", "Good evening."), Turn("user", "What is said?")]
    said, first = ask(engine, turns), ask(engine, about(clip))
    assert said.account.prompt_tokens > first.account.prompt_tokens
    assert said.text != first.text


def test_whoever_leaves_stops_the_work(loaded: tuple[AudioLLM, Mini, Writer], clip: Pcm) -> None:
    """Between the first token and the second: nothing is held, and the next one is answered."""
    engine = loaded[1]

    async def leave() -> Account:
        account = Account()
        events = engine.answer(about(clip), LONG, account)
        await anext(events)
        await events.aclose()
        return account

    assert asyncio.run(leave()).completion_tokens < 8 + 1 * 5
    assert ask(engine, about(clip)).text


def test_answers_side_by_side_are_those_one_after_another(engine: Mini, clip: Pcm) -> None:
    other = np.ascontiguousarray(clip[::-1])
    alone = [ask(engine, about(sound)).text for sound in (clip, other)]

    async def both() -> list[str]:
        async def one(sound: Pcm) -> str:
            return "".join([event.text async for event in engine.answer(about(sound), LONG, Account())])

        return await asyncio.gather(one(clip), one(other))

    assert asyncio.run(both()) == alone
    assert alone[0] != alone[1]


def test_what_does_not_fit_is_refused_before_it_is_heard(engine: Mini, clip: Pcm) -> None:
    minutes = np.zeros(300 * 16_000, np.int16)
    with pytest.raises(TextModelError, match="room for 4,096 with the answer") as refused:
        ask(engine, [Turn("user", "How much is it?", (minutes,) * 5)])
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(BadRequest, match=r"at least 0\.1 s") as unfit:
        ask(engine, about(clip[:100]))
    assert unfit.value.code == "audio_unfit"


@pytest.mark.parametrize("question", ["Summarise this.", "Translate into Malay", "How many people speak?"])
def test_what_it_was_not_measured_on_is_refused_in_words(engine: Mini, clip: Pcm, question: str) -> None:
    said = ask(engine, about(clip, question))
    assert said.text.startswith("I cannot do that yet.") and said.account.completion_tokens == 0
    assert ask(engine, about(clip, question), begun=said.text[:20]).text == said.text[20:]
    assert set(engine.unsupported) == set(Task) - {Task.TRANSCRIBE, Task.ANSWER}


def test_without_a_clip_it_asks_for_one(engine: Mini) -> None:
    assert "there is no clip" in ask(engine, [Turn("user", "Hello")]).text


def test_a_recording_is_transcribed_window_by_window(engine: Mini, clip: Pcm) -> None:
    quiet = np.zeros(4 * 16_000, np.int16)
    pieces = list(engine.recognise(np.concatenate([clip, quiet, clip]), word_times=True))
    readings = [piece for piece in pieces if isinstance(piece, Recognised)]
    texts = [piece for piece in pieces if isinstance(piece, str)]
    assert len(readings) == 2 and len(texts) > 10
    assert re.sub(r"\s+", "", "".join(texts)) == re.sub(r"\s+", "", "".join(each.text for each in readings))
    for reading in readings:
        times = [(word.start, word.end) for word in reading.words]
        assert times and times == sorted(times)
        assert reading.span.start <= times[0][0] and times[-1][1] <= reading.span.end
    assert list(engine.recognise(quiet)) == []
    assert engine.languages == ["en"]


def test_a_long_clip_is_written_down_window_by_window_in_a_conversation_too(engine: Mini, clip: Pcm) -> None:
    long = np.concatenate([clip, np.zeros(27 * 16_000, np.int16), clip])
    read = "".join(piece for piece in engine.recognise(long) if isinstance(piece, str))
    said = ask(engine, about(long))
    assert said.text == read and len(said.pieces) > 10
    assert said.account.completion_tokens > 2 * 5
    begun = said.text[: len(said.text) // 2].rstrip()
    assert begun + ask(engine, about(long), begun=begun).text == said.text
    asked = ask(engine, about(long, "How much is it?"))  # in one prompt, as a question about all of it
    assert asked.account.prompt_tokens > 200


def test_a_transcript_of_more_than_it_reads_at_once_is_made_of_windows(engine: Mini) -> None:
    """Unless somebody wants other words than the likeliest, or fewer."""
    clip = decode(sample("sg-school"))
    assert 14 < clip.size / 16_000 < 30
    read = [piece for piece in engine.recognise(clip) if isinstance(piece, Recognised)]
    assert len(read) == 2 and all(reading.span.seconds < 14.5 for reading in read)
    plain = ask(engine, about(clip))
    assert plain.text.split() == " ".join(reading.text for reading in read).split()
    assert plain.account.completion_tokens == sum(len(reading.tokens) for reading in read)
    in_one_go = [
        Sampling(temperature=0.5, seed=1, max_tokens=500),
        Sampling(max_tokens=500, stop=("never said",)),
        Sampling(max_tokens=9),
    ]
    for sampling in in_one_go:
        said = ask(engine, about(clip), sampling)
        assert said.account.completion_tokens == min(sampling.max_tokens, 8 + 17)  # as config.json says
    question = ask(engine, about(clip, "How much is it?"))
    assert question.heard == plain.text  # remembered
    assert 0 < question.account.completion_tokens <= 8 + 17


def test_a_question_is_answered_after_the_sentence_that_tells(engine: Mini, clip: Pcm) -> None:
    """Begun anywhere, in the quote or after it, the answer goes on to the same end."""
    written = ask(engine, about(clip)).text
    word = max(re.findall(r"[a-z]+", written), key=len)
    turns = about(clip, f"What is the {word}?")
    whole = ask(engine, turns)
    assert whole.heard == written
    quote, _, own = whole.text.partition("\n\n")
    assert quote.startswith("In the clip: “") and word in quote and own
    for at in (9, len(quote) - 1, len(quote) + 2, len(whole.text) - len(own) // 2):
        begun = whole.text[:at].rstrip()
        assert begun + ask(engine, turns, begun=begun).text == whole.text
    with pytest.raises(ForeignBeginning):
        ask(engine, turns, begun="In another clip: ")


@pytest.mark.parametrize(("words", "is_read"), [(3_000, True), (3_890, False), (5_000, False)])
def test_a_transcript_that_leaves_no_room_for_an_answer_is_not_read_again(
    loaded: tuple[AudioLLM, Mini, Writer], clip: Pcm, words: int, is_read: bool
) -> None:
    _, engine, writer = loaded
    turns = about(clip, "How much is it?")
    longer = engine._with_transcript(turns, [clip], " yes" * words, LONG)
    assert (longer != turns) is is_read
    assert len(writer.ids(Asked([clip], engine._words.prompt(longer), 1))) <= 4_096 - 80


def test_a_question_about_silence_is_told_that_there_is_no_speech(engine: Mini) -> None:
    said = ask(engine, about(np.zeros(3 * 16_000, np.int16), "How much is it?"))
    assert (said.text, said.heard, said.account.completion_tokens) == (NO_SPEECH, "", 0)


def test_two_clips_are_written_down_apart(engine: Mini, clip: Pcm) -> None:
    """Each is a window, and it was taught with one."""
    said = ask(engine, [Turn("user", QUESTION, (clip, clip[: clip.size // 2]))])
    assert said.text.index("Clip 1:") < said.text.index("Clip 2:")


def test_a_drawn_answer_can_be_scored(loaded: tuple[AudioLLM, Mini, Writer]) -> None:
    """The log-probs of the tokens as they were written are those of the whole text read at once."""
    model, engine, writer = loaded
    asked = Asked((), engine._words.prompt([Turn("user", "Hello")]), 8, Choice(1.0, 0.9, 5))
    steps = [step for step in writer.write(asked) if step.token is not None]
    ids, tokens = writer.ids(asked), [step.token for step in steps if step.token is not None]
    logits = model.score(ids + tokens, [])[len(ids) - 1 : -1]
    expected = log_softmax(logits)[range(len(tokens)), tokens]
    assert np.abs(expected - [step.log_prob for step in steps]).max() < 1e-3
