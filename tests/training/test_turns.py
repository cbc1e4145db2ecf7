"""What is learnt is the answer and the end of turn, after exactly the turn that serving sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, WhisperFeatureExtractor

from model.checkpoints import tokenizers
from model.embedded import weights
from model.layouts import SPEECH_TOKEN
from model.processing import AudioLLMProcessor
from model.prompts import chat_template, turn_text
from training.errors import ConfigError
from training.turns import UNSCORED, Turns, UnfitRow

ASKED, ANSWER = "Please transcribe this speech.", "Wah, so shiok lah! Twenty minutes, 20 %."
SAMPLES = 16_000 * 12


def _gemma() -> tuple[Any, str]:
    return tokenizers.small(512), chat_template("context_first")


def _llama() -> tuple[Any, str]:
    tokenizer = tokenizers.small(512, tokenizers.CHAT_TEMPLATE)
    return tokenizer, chat_template("instruction_first", tokenizer.chat_template)


def _smollm() -> tuple[Any, str]:
    path = weights.text_model()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.add_tokens([SPEECH_TOKEN], special_tokens=True)
    return tokenizer, chat_template("context_first", tokenizer.chat_template)


ENDS = {_gemma: "<end_of_turn>", _llama: "<end_of_turn>", _smollm: "<|im_end|>"}


@pytest.fixture(scope="module", params=ENDS, ids=["gemma", "llama", "smollm"])
def made(request: pytest.FixtureRequest) -> tuple[AudioLLMProcessor, Turns, str]:
    tokenizer, template = request.param()
    processor = AudioLLMProcessor(WhisperFeatureExtractor(), tokenizer, chat_template=template)
    return processor, Turns(processor, 512), ENDS[request.param]


def test_labels_are_the_answer_and_the_end_of_turn(made: tuple[AudioLLMProcessor, Turns, str]) -> None:
    processor, turns, end = made
    ids, labels = turns.encode(ASKED, f"  {ANSWER}\n", SAMPLES)
    scored = [label for label in labels if label != UNSCORED]
    assert processor.tokenizer.decode(scored) == ANSWER + end
    assert labels == [UNSCORED] * (len(ids) - len(scored)) + scored and ids[-len(scored) :] == scored


def test_the_prompt_is_what_serving_sends(made: tuple[AudioLLMProcessor, Turns, str]) -> None:
    processor, turns, _ = made
    ids, labels = turns.encode(ASKED, ANSWER, SAMPLES)
    turn = {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": ASKED}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    sent = processor(prompt, [np.ones(SAMPLES, np.float32)])["input_ids"][0].tolist()
    assert ids[: labels.count(UNSCORED)] == sent
    assert sent.count(processor.speech_token_id) == 100
    order = "context_first" if "Given the" in prompt else "instruction_first"
    assert turn_text(order, ASKED) in prompt  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (" \n", "its answer is empty"),
        ("I <end_of_turn> stop", "its answer holds the control token <end_of_turn>"),
        ("word " * 400, r"it takes [\d,]+ tokens, more than 512"),
    ],
)
def test_an_unfit_row_says_why(made: tuple[AudioLLMProcessor, Turns, str], answer: str, reason: str) -> None:
    with pytest.raises(UnfitRow, match=reason):
        made[1].encode(ASKED, answer, SAMPLES)


def test_a_template_that_never_ends_a_turn_is_refused(tmp_path: Path) -> None:
    endless = "{%- for message in messages -%}{{ message.content }}{%- endfor -%}"
    tokenizer = tokenizers.small(512, endless)
    template = chat_template("context_first", endless)
    with pytest.raises(ConfigError, match="instruction-tuned decoder"):
        Turns(AudioLLMProcessor(WhisperFeatureExtractor(), tokenizer, chat_template=template), 512)
