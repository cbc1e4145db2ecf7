"""vLLM and transformers think alike: the same greedy tokens, and log-probs within 1e-4, in fp32."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from vllm import LLM

from model.geometry import WINDOW_SAMPLES
from tests.vllm.parity import TOLERANCE, Ask, Reference, ask, engine, sound

pytestmark = pytest.mark.slow

SECONDS = (1, 29.9, 30.1, 95, 300)


class Pair(NamedTuple):
    llm: LLM
    reference: Reference


@pytest.fixture(
    scope="module",
    params=[
        "v1",
        "v2",
        "llama",
        *(f"{layout}-{way}" for way in ("no-caches", "two-ranks") for layout in ("v1", "v2")),
    ],
)
def pair(request: pytest.FixtureRequest, checkpoint: Callable[..., Path]) -> Iterator[Pair]:
    """Each layout in vLLM beside transformers; the last with caches off, and over two ranks."""
    if request.param == "llama":
        folder = checkpoint("open", decoder="llama")
    else:
        folder = checkpoint(request.param.partition("-")[0])
    options: dict[str, object] = {}
    environment = pytest.MonkeyPatch()
    if request.param.endswith("no-caches"):
        options = {"enable_prefix_caching": False, "mm_processor_cache_gb": 0}
    if request.param.endswith("two-ranks"):
        options = {"tensor_parallel_size": 2, "distributed_executor_backend": "mp"}
        cores = sorted(os.sched_getaffinity(0))
        environment.setenv("VLLM_CPU_OMP_THREADS_BIND", f"{cores[0]}|{cores[-1]}")
    with engine(folder, **options) as llm:
        yield Pair(llm, Reference(folder))
    environment.undo()


@pytest.mark.parametrize("clips", [1, 3])
def test_every_length(pair: Pair, clips: int) -> None:
    asks = [
        Ask(pair.reference.prompt(clips), tuple(sound(seconds, seed) for seed in range(clips)))
        for seconds in SECONDS
    ]
    for one, said in zip(asks, ask(pair.llm, pair.reference.processor, asks), strict=True):
        assert pair.reference.difference(one, said) <= TOLERANCE, one.clips[0].size


def test_sixteen_mixed_requests_at_once(pair: Pair) -> None:
    asks = [
        Ask(
            pair.reference.prompt(1 + seed % 3, f"Question {seed}?"),
            tuple(sound(0.5 + 3 * seed, seed + part) for part in range(1 + seed % 3)),
        )
        for seed in range(16)
    ]
    for one, said in zip(asks, ask(pair.llm, pair.reference.processor, asks), strict=True):
        assert pair.reference.difference(one, said) <= TOLERANCE


def test_the_same_clip_again_and_among_others(pair: Pair) -> None:
    """What caches must get right: a clip asked about twice, at another place, beside another clip."""
    first, second = sound(45, 1), sound(45, 2)
    prompt, both = pair.reference.prompt(1), pair.reference.prompt(2)
    asks = [
        Ask(prompt, (first,)),
        Ask(prompt, (first,)),
        Ask(prompt, (second,)),
        Ask(both, (second, first)),
        Ask(both, (first, second)),
    ]
    said = [ask(pair.llm, pair.reference.processor, [one])[0] for one in asks]
    for one, answer in zip(asks, said, strict=True):
        assert pair.reference.difference(one, answer) <= TOLERANCE
    assert said[0].log_probs != said[2].log_probs


def test_a_conversation_with_clips_between_its_turns(pair: Pair) -> None:
    text = pair.reference.processor.apply_chat_template(
        [
            {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "What is said?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A greeting."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Is this"},
                    {"type": "audio"},
                    {"type": "text", "text": "the same speaker as"},
                    {"type": "audio"},
                    {"type": "text", "text": "?"},
                ],
            },
        ],
        add_generation_prompt=True,
        tokenize=False,
    )
    one = Ask(text, (sound(3, 1), sound(31, 2), sound(7, 3)))
    assert pair.reference.difference(one, ask(pair.llm, pair.reference.processor, [one])[0]) <= TOLERANCE


@torch.no_grad()
def test_the_comparison_can_fail(pair: Pair) -> None:
    """A slightly wrong adapter, scale or window is seen: each moves log-probs far beyond the tolerance."""
    reference = pair.reference
    one = Ask(reference.prompt(1), (sound(40, 5),))
    said = ask(pair.llm, reference.processor, [one])[0]
    assert reference.difference(one, said) <= TOLERANCE
    before = reference.log_probs(one, said.tokens)

    def moved(changed: Ask = one) -> float:
        return float((reference.log_probs(changed, said.tokens) - before).abs().max())

    adapter = next(reference.model.speech_audio_adapter.parameters())
    adapter.mul_(1.01)
    assert moved() > 10 * TOLERANCE
    adapter.div_(1.01)
    assert moved() <= TOLERANCE

    scaled = reference.model.speech_embeddings
    reference.model.speech_embeddings = lambda features: scaled(features) * 1.01
    assert moved() > 10 * TOLERANCE
    del reference.model.speech_embeddings

    other = one.clips[0].copy()
    other[WINDOW_SAMPLES:] = sound(10, 6)
    assert moved(Ask(one.text, (other,))) > 10 * TOLERANCE
