"""How fast stage 2 trains: samples/s, tokens/s, the share of the device's peak, and of time spent on data.

.venv-train/bin/python -m benchmarks.training                                  # two cores, 228 M parameters
.venv-train/bin/python -m benchmarks.training --size 10b --per-device 5 --workers 0 4 8 12   # one GPU, 10 B

Weights are random and sizes real; the clips are the bundled ones, read, decoded and made into mel windows as
in any run. "none" has its batch in memory: it is what arithmetic alone takes. Beside the paper's run on an
H100: 5.8 samples/s, 8 % of the peak.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from benchmarks.report import processors, save
from model.checkpoints import tokenizers
from model.checkpoints.writing import parsed
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor, chat_template_of
from training import config as configs
from training.audiollm_config import AudioLLMRun, BatchConfig, DecoderSizes, EncoderSizes, Sizes
from training.build_model import DTYPES, Built, choose_trainable, config_of_sizes
from training.data.schema import LONGEST_SECONDS, SAMPLE_RATE, row, write_shard
from training.examples import Example
from training.run_folder import read_metrics
from training.train_audiollm import trainer_of

SAMPLES = Path(__file__).parents[1] / "samples"
PAPERS = Path(__file__).parents[1] / "training/configs/audiollm_10b.yaml"
MINI = Sizes(  # Whisper base and SmolLM2-135M
    EncoderSizes(512, 6, 8, 2_048, 80),
    DecoderSizes("llama", 49_152, 576, 1_536, 30, 9, 3, 64),
)
WARM = 3  # steps that are not counted: the first ones allocate and fill the queues
VOCABULARY = 512  # of the tokenizer; the decoder's is as large as it is


def clips() -> Iterator[dict[str, Any]]:
    """The bundled clips of up to 30 s with their transcripts, as rows."""
    for sample in json.loads((SAMPLES / "manifest.json").read_text("utf-8"))["samples"]:
        if sample["seconds"] > LONGEST_SECONDS:
            continue
        with av.open(io.BytesIO((SAMPLES / sample["file"]).read_bytes())) as file:
            resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
            parts = [
                part.to_ndarray() for frame in file.decode(audio=0) for part in resampler.resample(frame)
            ]
        yield row(
            np.concatenate(parts, axis=1)[0],
            id=sample["id"],
            instruction="Please transcribe this speech.",
            answer=sample["transcript"][:120],
            task="asr",
            source="samples",
        )


def random_model(run: AudioLLMRun, sizes: Sizes, device: torch.device) -> Built:
    """A model of the given sizes, made on the device that trains it."""
    tokenizer = tokenizers.small(VOCABULARY, tokenizers.CHAT_TEMPLATE)
    content = config_of_sizes(run.model, sizes) | {"speech_token_index": VOCABULARY - 1}
    torch.set_default_dtype(DTYPES[run.compute.precision])
    try:
        with device:
            model = AudioLLMForConditionalGeneration(parsed(content))
    finally:
        torch.set_default_dtype(torch.float32)
    for part in (model.speech_encoder, model.ln_speech, model.speech_audio_adapter):
        part.float()
    choose_trainable(model, run)
    extractor = WhisperFeatureExtractor(feature_size=sizes.encoder.num_mel_bins)
    template = chat_template_of(model.config, tokenizer)
    processor = AudioLLMProcessor(extractor, tokenizer, chat_template=template)
    return Built(model, processor, content, [1], {"weights": "random"})


class InMemory:
    """One example, as often as it is asked for."""

    def __init__(self, example: Example, size: int) -> None:
        self._example, self._size = example, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Example:
        return self._example


def measured(run: AudioLLMRun, built: Built, workers: int, in_memory: bool = False) -> dict[str, float]:
    """The medians of a run's metrics over its steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = dataclasses.replace(run.data, workers=workers)
        trainer = trainer_of(dataclasses.replace(run, run=folder, data=data), built)
        if in_memory:
            trainer.train_dataset = InMemory(trainer.train_dataset[0], len(trainer.train_dataset))
        trainer.args.save_strategy = "no"
        trainer.train()
        lines = [line for line in read_metrics(folder) if "loss" in line][WARM:]
    return {name: statistics.median(line[name] for line in lines) for name in lines[0] if name != "step"}


def cells(found: dict[str, float]) -> list[str]:
    """A row of the table."""
    mfu = f"{found['mfu']:.0%}" if "mfu" in found else "peak not known"
    return [
        f"{found['samples_per_s']:.2f}",
        f"{found['tokens_per_s']:,.0f}",
        f"{found['tflops_per_device']:.3g}",
        mfu,
        f"{found['data_wait']:.1%}",
    ]


def main() -> None:
    """Measure each number of data workers and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["mini", "10b"], default="mini")
    parser.add_argument("--per-device", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = parser.parse_args()
    paper = configs.load(AudioLLMRun, PAPERS)
    assert paper.model.sizes
    sizes = paper.model.sizes if options.size == "10b" else MINI
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as name:
        write_shard(Path(name) / "train/0.parquet", clips())
        run = dataclasses.replace(
            paper,
            model=dataclasses.replace(paper.model, layout="open"),
            data=dataclasses.replace(paper.data, train=Path(name), eval=None),
            schedule=dataclasses.replace(paper.schedule, steps=options.steps + WARM, warmup=0),
            batch=BatchConfig(options.per_device, options.per_device),
            compute=dataclasses.replace(paper.compute, precision=options.precision),
            every=dataclasses.replace(paper.every, log=1),
        )
        built = random_model(run, sizes, device)
        rows = [["none", *cells(measured(run, built, 0, in_memory=True))]]
        for count in options.workers:
            rows.append([str(count), *cells(measured(run, built, count))])
    many = sum(parameter.numel() for parameter in built.model.parameters())
    workers = " ".join(map(str, options.workers))
    given = f"--size {options.size} --per-device {options.per_device} --workers {workers}"
    save(
        f"training_{options.size}_{device.type}",
        f"Stage 2 at {many / 1e6:,.0f} M parameters on a {device.type.upper()}",
        f"python -m benchmarks.training {given} --steps {options.steps} --precision {options.precision}",
        ["data workers", "samples/s", "tokens/s", "TFLOP/s", "MFU", "data wait"],
        rows,
        f"{processors()}, {torch.get_num_threads()} threads. Medians of {options.steps} steps of "
        f"{options.per_device} samples, random weights. FLOP are those of the architecture. The peak is the "
        "data sheet's; a CPU's is that of a product of 1,024 x 1,024 matrices in the same precision. The "
        "paper's run: 5.8 samples/s and 8 % on an H100.",
    )


if __name__ == "__main__":
    main()
