"""Ask vLLM and transformers the same, and compare what they think of every token."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from vllm import LLM, SamplingParams
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

from model.geometry import SAMPLE_RATE
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor

TOLERANCE = 1e-4  # of a log-prob, in fp32
TOKENS = 8

Clip = NDArray[np.float32]


@dataclass(frozen=True)
class Ask:
    """A prompt with its clips."""

    text: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Said:
    """What vLLM answered: its prompt, its tokens, and the likeliest tokens at each step."""

    prompt: list[int]
    tokens: list[int]
    log_probs: list[dict[int, float]]


def sound(seconds: float, seed: int) -> Clip:
    """Noise that swells and fades a few times a second, as speech does."""
    random = np.random.default_rng(seed)
    samples = round(seconds * SAMPLE_RATE)
    knots = np.arange(0, samples + 2_000, 2_000)
    loudness = np.interp(np.arange(samples), knots, random.random(knots.size))
    return (random.standard_normal(samples) * loudness * 0.2).astype(np.float32)


@contextmanager
def engine(folder: Path, **options: Any) -> Iterator[LLM]:
    """A vLLM engine in this process, gone afterwards."""
    llm = LLM(
        str(folder),
        **{
            "dtype": "float32",
            "enforce_eager": True,
            "max_model_len": 4_096,
            "max_num_seqs": 16,
            "kv_cache_memory_bytes": 128 << 20,
            "limit_mm_per_prompt": {"audio": 3},
            **options,
        },
    )
    try:
        yield llm
    finally:
        del llm
        gc.collect()
        cleanup_dist_env_and_memory()


def ask(llm: LLM, processor: AudioLLMProcessor, asks: Sequence[Ask], **options: Any) -> list[Said]:
    """Answer all in one batch, greedily."""
    answers = llm.generate(
        [
            {
                "prompt_token_ids": processor.tokenizer(one.text, add_special_tokens=False)["input_ids"],
                "multi_modal_data": {"audio": [(clip, SAMPLE_RATE) for clip in one.clips]},
            }
            for one in asks
        ],
        SamplingParams(temperature=0, max_tokens=TOKENS, logprobs=20, ignore_eos=True),
        use_tqdm=False,
        **options,
    )
    return [
        Said(
            list(answer.prompt_token_ids),
            list(answer.outputs[0].token_ids),
            [{token: one.logprob for token, one in step.items()} for step in answer.outputs[0].logprobs],
        )
        for answer in answers
    ]


class Reference:
    """The same checkpoint in transformers."""

    def __init__(self, folder: Path) -> None:
        self.processor = AudioLLMProcessor.from_pretrained(folder)
        self.model = AudioLLMForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    def prompt(self, clips: int, query: str = "Please transcribe this speech.") -> str:
        """A user's turn about some clips."""
        content = [*[{"type": "audio"}] * clips, {"type": "text", "text": query}]
        text: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return text

    @torch.no_grad()
    def log_probs(self, one: Ask, tokens: Sequence[int]) -> torch.Tensor:
        """Log-probs [tokens, vocabulary] of each step, given the tokens before it."""
        inputs = self.processor(one.text, list(one.clips), return_tensors="pt")
        sound = inputs["input_features"], inputs.get("window_states")
        heard = self.model.input_embeddings(inputs["input_ids"], *sound)
        # Apart from the prompt: a random model may say <SpeechHere> itself, which is then a word.
        said = self.model.get_input_embeddings()(torch.tensor([list(tokens)]))
        logits = self.model(inputs_embeds=torch.cat([heard, said], 1)).logits[0]
        return logits[heard.shape[1] - 1 : -1].float().log_softmax(-1)

    def difference(self, one: Ask, said: Said) -> float:
        """The greatest difference of a log-prob; asserts that prompt and greedy tokens are the same."""
        expected = self.processor(one.text, list(one.clips))["input_ids"][0].tolist()
        assert said.prompt == expected
        rows = self.log_probs(one, said.tokens)
        assert rows.argmax(-1).tolist() == said.tokens
        return max(
            abs(value - float(rows[step, token]))
            for step, likeliest in enumerate(said.log_probs)
            for token, value in likeliest.items()
        )
