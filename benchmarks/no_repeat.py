"""What the no-repeat n-gram guard costs a token, in real vLLM on the CPU and by itself.

.venv-vllm/bin/python -m benchmarks.no_repeat --write

Engines without and with the guard are started in turn in one run and answer the same prompts, eight at once;
a guarded engine answers with the guard on and off by turns. The guard's own time is also set beside the
paper's inter-token latency at 16 at once (Table 1: 16.3 ms), since on a GPU the model takes less of a step.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}

import torch
from vllm import LLM, SamplingParams
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

from benchmarks import report
from model.checkpoints.build import build
from model.vllm_plugin.no_repeat import ARGUMENT, History

GUARD = "model.vllm_plugin.no_repeat:NoRepeatNGram"
SIZE = 6  # tokens, as the published models were evaluated
PLACES, PROMPT, TOKENS = 8, 300, 96
PAPER_ITL = 16.3e-3  # s, Table 1, 30 s of audio, 16 at once, H100
Row = tuple[str, str, str]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What the no-repeat guard costs a token.")
    parser.add_argument("--rounds", type=int, default=4, help="engines of each kind (4)")
    parser.add_argument("--answers", type=int, default=6, help="batches an engine answers in each way (6)")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/no_repeat.md")
    options = parser.parse_args()
    rows = [*alone(), *in_vllm(options.rounds, options.answers)]
    title, command = (
        "The cost of the no-repeat guard",
        ".venv-vllm/bin/python -m benchmarks.no_repeat --write",
    )
    note = (
        f"{SIZE}-grams. In vLLM: 110 M parameters, fp32, {PLACES} at once, {PROMPT} tokens of prompt, "
        f"{TOKENS} of answer; a batch divided by its steps, medians, prefill included in all alike. "
        "Engines differ by several percent from start to start, more than the guard takes."
    )
    head = ("what", "time a step", "share")
    if options.write:
        report.save("no_repeat", title, command, head, rows, note)
    else:
        print("\n".join(report.table(head, rows)))


def alone() -> list[Row]:
    """The guard without a model: 16 requests, prompts of 1,000 tokens, answers one token longer a step."""
    draw = random.Random(0)
    outputs: list[list[int]] = [[] for _ in range(16)]
    histories = [History(SIZE, [draw.randrange(500) for _ in range(1_000)], output) for output in outputs]
    times = []
    for _ in range(512):
        for output in outputs:
            output.append(draw.randrange(500))
        began = time.perf_counter()
        for history in histories:
            history.banned()
        times.append(time.perf_counter() - began)
    step = statistics.median(times)
    return [
        ("guard alone, 16 at once", f"{step * 1e6:.0f} us", f"{step / PAPER_ITL:.2%} of the paper's 16.3 ms")
    ]


def in_vllm(rounds: int, answers: int) -> list[Row]:
    """Engines without and with the guard by turns."""
    found: dict[str, list[float]] = {"no guard": [], "guard switched off": [], "guard on": []}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = build(Path(folder), "v1", preset="base-100m")
        for _ in range(rounds):
            for processors in ([], [GUARD]):
                llm = LLM(
                    str(checkpoint),
                    dtype="float32",
                    enforce_eager=True,
                    max_model_len=1_024,
                    max_num_seqs=PLACES,
                    kv_cache_memory_bytes=512 << 20,
                    enable_prefix_caching=False,
                    logits_processors=processors,
                )
                ways = {"guard on": SIZE, "guard switched off": 0} if processors else {"no guard": 0}
                for size in ways.values():
                    step(llm, size)  # warm-up
                for _ in range(answers):
                    for name, size in ways.items():
                        found[name].append(step(llm, size))
                del llm
                gc.collect()
                cleanup_dist_env_and_memory()
    base = statistics.median(found["no guard"])
    return [
        (name, f"{statistics.median(times) * 1e3:.2f} ms", f"{statistics.median(times) / base - 1:+.2%}")
        for name, times in found.items()
    ]


def step(llm: LLM, size: int) -> float:
    """Seconds of one decoding step of a full batch."""
    draw = torch.Generator().manual_seed(0)
    prompts = torch.randint(10, 500, (PLACES, PROMPT), generator=draw).tolist()
    sampling = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True, extra_args={ARGUMENT: size})
    began = time.perf_counter()
    llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], sampling, use_tqdm=False)
    return (time.perf_counter() - began) / TOKENS


if __name__ == "__main__":
    main()
