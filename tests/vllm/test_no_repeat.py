"""The no-repeat guard: both of its ways find the same bans, and vLLM obeys them where a model asks for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState

from model.vllm_plugin.no_repeat import PENDING, History, NoRepeatNGram, ban
from tests.vllm.parity import engine, sound

GUARD = "model.vllm_plugin.no_repeat:NoRepeatNGram"


def naive(tokens: list[int], size: int) -> set[int]:
    """What would repeat an n-gram, by looking at every one."""
    if len(tokens) < size:
        return set()
    last = tokens[len(tokens) - size + 1 :]
    return {
        tokens[at + size - 1] for at in range(len(tokens) - size + 1) if tokens[at : at + size - 1] == last
    }


def test_both_ways_ban_what_looking_at_every_ngram_bans() -> None:
    draw = random.Random(0)
    for _ in range(300):
        size, vocabulary = draw.choice([2, 3, 6]), draw.choice([3, 5, 20])
        rows = [[draw.randrange(vocabulary) for _ in range(draw.randrange(60))] for _ in range(4)]
        longest = max(size, *map(len, rows))
        padded = torch.tensor([row + [draw.randrange(vocabulary)] * (longest - len(row)) for row in rows])
        logits = torch.zeros(4, vocabulary)
        ban(logits, padded, torch.tensor([len(row) for row in rows]), size, torch.zeros(4, dtype=torch.long))
        for row, scores in zip(rows, logits, strict=True):
            expected = naive(row, size)
            assert set(torch.where(scores == -torch.inf)[0].tolist()) == expected
            cut = draw.randrange(len(row) + 1)
            assert History(size, row[:cut], row[cut:]).banned() == expected


def test_both_ways_leave_the_prompt_and_what_may_repeat_alone() -> None:
    draw = random.Random(1)
    for _ in range(300):
        size, vocabulary, free = draw.choice([2, 3, 6]), draw.choice([3, 5, 20]), [0, 2]
        rows = [[draw.randrange(vocabulary) for _ in range(draw.randrange(60))] for _ in range(4)]
        begins = [draw.randrange(len(row) + 1) for row in rows]
        longest = max(size, *map(len, rows))
        padded = torch.tensor([row + [draw.randrange(vocabulary)] * (longest - len(row)) for row in rows])
        logits = torch.zeros(4, vocabulary)
        lengths = torch.tensor([len(row) for row in rows])
        ban(logits, padded, lengths, size, torch.tensor(begins), torch.tensor(free))
        for row, begin, scores in zip(rows, begins, logits, strict=True):
            last = row[begin:][-size + 1 :]
            expected = set() if set(last) <= set(free) else naive(row[begin:], size) - set(free)
            assert set(torch.where(scores == -torch.inf)[0].tolist()) == expected
            assert History(size, [], row[begin:], free).banned() == expected


def test_a_history_follows_the_list_that_vllm_writes_to() -> None:
    output = [5, 6, 7]
    history = History(3, [1, 2], output)
    assert history.banned() == set()
    output += [5, 6, PENDING]
    assert history.banned() == {7}
    output[-1] = 8
    output.append(5)
    assert history.banned() == set()
    output.append(6)
    assert history.banned() == {7, 8}


def test_the_device_way_keeps_requests_with_different_sizes_apart() -> None:
    tokens = torch.zeros(4, 32, dtype=torch.int32)
    spoken = torch.tensor([1, 2, 3, 1, 2], dtype=torch.int32)
    tokens[1, :5] = tokens[2, :5] = tokens[3, :5] = spoken
    state = LogitsProcRequestState(
        device=torch.device("cpu"),
        max_num_reqs=4,
        vocab_size=8,
        all_token_ids=SimpleNamespace(gpu=tokens),  # type: ignore[arg-type]
        prompt_len=None,  # type: ignore[arg-type]
        prefill_len=None,  # type: ignore[arg-type]
        total_len=None,  # type: ignore[arg-type]
    )
    config = SimpleNamespace(model_config=SimpleNamespace(hf_config=SimpleNamespace()))
    guard = NoRepeatNGram(config, state)  # type: ignore[arg-type]
    assert not guard.add_request(1, SamplingParams())
    assert guard.add_request(2, SamplingParams(extra_args={"no_repeat_ngram_size": 3}))
    assert guard.add_request(3, SamplingParams(extra_args={"no_repeat_ngram_size": 5}))
    slots = torch.tensor([3, 1, 2])
    context = LogitsContext(
        expanded_idx_mapping=slots,
        idx_mapping=slots,
        idx_mapping_np=np.array([3, 1, 2]),
        expanded_local_pos=torch.zeros(3, dtype=torch.long),
        input_ids=torch.tensor([2, 2, 2]),
        pos=torch.tensor([4, 4, 4]),
        seq_lens_upper_bound_np=np.array([5, 5, 5]),
    )
    logits = guard.apply(torch.zeros(3, 8), context)
    assert [torch.where(row == -torch.inf)[0].tolist() for row in logits] == [[], [], [3]]


@pytest.mark.slow
def test_vllm_repeats_nothing_where_the_model_asks_for_it(checkpoint: Callable[..., Path]) -> None:
    def answers(folder: Path, **options: object) -> list[bool]:
        with engine(folder, **options) as llm:
            asks = [
                {
                    "prompt": f"<bos>Question {number}: <SpeechHere>" + "ab" * number,
                    "multi_modal_data": {"audio": sound(2, number)},
                }
                for number in range(6)
            ]
            sampling = [
                SamplingParams(temperature=0, max_tokens=60 + 9 * number, ignore_eos=True, extra_args=extra)
                for number in range(3)
                for extra in (None, {"no_repeat_ngram_size": 0})
            ]
            said = llm.generate(asks, sampling, use_tqdm=False)
            if options:
                with pytest.raises((ValueError, VLLMValidationError), match="from 2 to 64"):
                    llm.generate(asks[0], SamplingParams(extra_args={"no_repeat_ngram_size": 1}))
            return [
                repeats(list(answer.prompt_token_ids), list(answer.outputs[0].token_ids)) for answer in said
            ]

    def repeats(prompt: list[int], output: list[int]) -> bool:
        """Whether a 6-gram that ends in the output stood before."""
        tokens = prompt + output
        return any(tokens[at] in naive(tokens[:at], 6) for at in range(len(prompt), len(tokens)))

    assert answers(checkpoint("v2"), logits_processors=[GUARD]) == [False, True] * 3
    assert all(answers(checkpoint("open"), logits_processors=[GUARD]))
