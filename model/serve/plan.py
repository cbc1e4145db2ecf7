"""What suits this machine: numbers, context, places, memory; decided by figures, each with its reason.

Pure functions of a machine, a model and what the host asked for, so that every machine can be tried on paper.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from model.checkpoints.inspect import CONFIG, WORKING_BYTES, Report
from model.checkpoints.shapes import Sizes
from model.geometry import MAX_CLIPS, WINDOW_STATES
from model.layouts import Layout
from model.mini.shipped import Generation
from model.serve.machine import GIB, MIB, Machine
from model.serve.options import Options
from model.serve.refused import Refused

Device = Literal["cpu", "gpu"]
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
QUANTISED = {"fp8": 1.0, "bitsandbytes": 0.56}  # bytes a parameter of the decoder's layers; 4 bits and scales

CONTEXT = {"cpu": 4_096, "gpu": 8_192}  # tokens; 300 s of audio are 1,000 of them
LEAST_CONTEXT = 2_048
BATCH = {"cpu": 2_048, "gpu": 8_192}  # tokens in one step
BLOCK = 128  # tokens in a block of the CPU's KV cache
PROCESSES = 3 * GIB  # API server, engine, worker and their caches of clips, on a CPU: 2.2 GiB measured
WORKER = 1 * GIB  # each further worker
UTILISATION = 0.90  # of a GPU's memory


@dataclass(frozen=True)
class Model:
    """A checkpoint as planning sees it."""

    name: str
    layout: Layout
    parameters: int
    quantisable: int  # of them: the decoder's layers, not its embeddings
    weight_bytes: int  # as stored
    kv_bytes: int  # one token, at 2 bytes a number
    positions: int  # most tokens of the decoder
    soft_cap: bool
    window_tokens: int = 100  # audio tokens of 30 s
    quantised: bool = False  # as stored
    answers: Generation | None = None  # how they are written, where the checkpoint says so itself

    @property
    def no_repeat_ngram(self) -> int:
        """Tokens in a row that no answer has twice; 0: no guard."""
        return self.answers.no_repeat_ngram if self.answers else self.layout.no_repeat_ngram

    @classmethod
    def of(cls, report: Report, name: str) -> Model:
        """Take the figures from an inspection. Raises Refused with its problems, if there are any."""
        if report.problems or report.layout is None:
            raise Refused(f"{report.folder} cannot be served.\n" + "\n".join(report.problems))
        config = json.loads((report.folder / CONFIG).read_text("utf-8"))
        sizes = Sizes(config)
        if unsaid := _unsaid(sizes):
            raise Refused(
                f"{report.folder} cannot be served: text_config in its {CONFIG} lacks {', '.join(unsaid)}, "
                f"and without that its memory cannot be planned. The decoder is '{sizes.decoder}'; write its "
                "sizes under these names too, as Llama's configuration does."
            )
        embeddings = int(sizes.text.get("vocab_size") or 0) * int(sizes.text.get("hidden_size") or 0)
        return cls(
            name,
            report.layout,
            report.total,
            max(0, report.parameters["text_decoder"] - embeddings),
            report.weight_bytes,
            report.kv_bytes,
            report.max_positions,
            report.needs_soft_cap,
            WINDOW_STATES // sizes.stack,
            bool(report.quantised),
            _answers(report, config),
        )


def _answers(report: Report, config: dict[str, Any]) -> Generation | None:
    """How a checkpoint says that its answers are written. Raises Refused."""
    if config.get("answers") is None:
        return None
    try:
        return Generation.model_validate(config["answers"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("answers", *first["loc"])))
        raise Refused(
            f"{report.folder} cannot be served: {where} in its {CONFIG}: {first['msg']}. Mend it."
        ) from None


def _unsaid(sizes: Sizes) -> list[str]:
    """Keys of text_config that planning needs and that are not there."""
    needed = ["num_hidden_layers", "num_attention_heads", "max_position_embeddings"]
    needed += [] if sizes.text.get("head_dim") else ["hidden_size"]
    unsaid = [name for name in needed if not sizes.text.get(name)]
    _, _, width = sizes.heads
    return unsaid if unsaid or width else ["head_dim"]  # a width of less than 1 for each head


@dataclass(frozen=True)
class Choice:
    """One decision, in words for the host."""

    what: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"  {self.what:<11}{self.value}: {self.why}"


@dataclass(frozen=True)
class Plan:
    """Everything decided; `command` makes vLLM's flags of it."""

    model: Model
    device: Device
    dtype: str
    context: int  # tokens
    places: int
    clips: int  # in one prompt
    batch: int  # tokens in one step
    kv_cache: int | None  # bytes for each worker, on a CPU
    utilisation: float | None  # of each GPU's memory
    attention: str | None
    threads: str | None  # CPU numbers of each worker; None lets vLLM find them
    tensor_parallel: int
    quantization: str | None
    choices: tuple[Choice, ...] = field(default=(), compare=False)


def plan(machine: Machine, model: Model, options: Options, build: Device) -> Plan:
    """Decide how to serve `model` here with the vLLM that is installed (`build`).

    Raises Refused, with figures and what to do, where it cannot work.
    """
    if build == "gpu" and not machine.gpus:
        raise Refused(
            "vLLM for GPUs is installed, and no NVIDIA GPU can be seen (nvidia-smi, CUDA_VISIBLE_DEVICES). "
            "Mend that, or run `make vllm` for vLLM on CPUs."
        )
    if options.context is not None and options.context > model.positions:
        raise Refused(
            f"{model.name} can hold {model.positions:,} tokens, fewer than --context {options.context:,}."
        )
    return (_on_gpu if build == "gpu" else _on_cpu)(machine, model, options)


def _on_cpu(machine: Machine, model: Model, options: Options) -> Plan:
    dtype, why_dtype = _cpu_dtype(machine, model, options)
    workers = options.tensor_parallel
    threads = _threads(machine, workers)
    weights = _weight_bytes(model, dtype, options.quantization)
    token = model.kv_bytes * BYTES[dtype] // 2
    room = machine.memory - weights - PROCESSES - WORKER * (workers - 1)
    wanted = options.context or min(model.positions, CONTEXT["cpu"])
    context = _fitting(wanted, room // token - BLOCK, options.context)
    if context is None:
        least = options.context or min(model.positions, LEAST_CONTEXT)
        needed = weights + PROCESSES + WORKER * (workers - 1) + (least + BLOCK) * token
        raise Refused(_too_little(machine, model, dtype, weights, needed, least))
    full = (options.places * _blocks(context) + 1) * BLOCK * token
    cache = min(full, room) // workers // MIB * MIB + MIB
    at_once = min(options.places, int(cache * workers // (_blocks(context) * BLOCK * token)) or 1)
    choices = [
        Choice("device", f"CPU, {len(machine.cpus)} of them", _why_cpu(machine)),
        Choice("numbers", dtype, why_dtype),
        Choice("memory", _gib(weights + PROCESSES + cache * workers), f"of {_gib(machine.memory)} free"),
        Choice("context", f"{context:,} tokens", _why_context(context, wanted, model)),
        Choice("KV cache", _gib(cache * workers), f"{at_once} conversations of full length at once"),
    ]
    return _plan(model, options, choices, "cpu", dtype, context, kv_cache=cache, threads=threads)


def _on_gpu(machine: Machine, model: Model, options: Options) -> Plan:
    shared = options.tensor_parallel
    if shared > len(machine.gpus):
        raise Refused(
            f"--tensor-parallel-size {shared} asks for {shared} GPUs, and there "
            f"{'is' if len(machine.gpus) == 1 else 'are'} {len(machine.gpus)}. Ask for fewer."
        )
    cards = machine.gpus[:shared]
    dtype, why_dtype = _gpu_dtype(min(card.capability for card in cards), model, options)
    utilisation = min(UTILISATION, *((card.free - GIB // 2) / card.memory for card in cards))
    utilisation = max(0.0, int(utilisation * 100) / 100)
    usable = min(int(card.memory * utilisation) for card in cards)
    weights = _weight_bytes(model, dtype, options.quantization)
    token = model.kv_bytes * BYTES[dtype] // 2
    room = (usable - WORKING_BYTES) * shared - weights
    wanted = options.context or min(model.positions, CONTEXT["gpu"])
    context = _fitting(wanted, room // token, options.context)
    if context is None:
        least = options.context or min(model.positions, LEAST_CONTEXT)
        raise Refused(_too_small(machine, model, options, dtype, usable, least))
    attention = "FLASHINFER" if model.soft_cap else None
    of_all = f"{cards[0].name}, {_gib(cards[0].memory)}" + (f", {shared} of them" if shared > 1 else "")
    choices = [
        Choice("device", of_all, "an NVIDIA GPU is here"),
        Choice("numbers", dtype, why_dtype),
        Choice(
            "memory",
            f"{utilisation:.0%} of the GPU's",
            f"{_gib(weights // shared)} weights, {_gib(WORKING_BYTES)} to work in, "
            f"{_gib(room // shared)} KV cache",
        ),
        Choice("context", f"{context:,} tokens", _why_context(context, wanted, model)),
        Choice(
            "KV cache",
            f"{room // token:,} tokens",
            f"{room // token // context} conversations of full length at once, or more that are shorter",
        ),
    ]
    if attention:
        choices.append(
            Choice("attention", attention, "this decoder caps its attention, and FlashInfer obeys")
        )
    return _plan(model, options, choices, "gpu", dtype, context, utilisation=utilisation, attention=attention)


def _plan(
    model: Model,
    options: Options,
    choices: list[Choice],
    device: Device,
    dtype: str,
    context: int,
    *,
    kv_cache: int | None = None,
    utilisation: float | None = None,
    attention: str | None = None,
    threads: str | None = None,
) -> Plan:
    """What is chosen in the same way on every device."""
    clips = max(1, min(MAX_CLIPS, (context - 1) // model.window_tokens))
    audio = f"{clips} clips of up to {model.layout.max_seconds} s"
    choices += [
        Choice("places", str(options.places), "requests answered side by side; more wait"),
        Choice("audio", audio, f"in one prompt, {model.window_tokens} tokens each 30 s"),
    ]
    made_for_it = f"{model.name if model.answers else model.layout.title} was made for it"
    if size := model.no_repeat_ngram:
        choices.append(Choice("guard", f"no {size} tokens twice", made_for_it))
    if said := model.answers:
        longest = f"{said.most_tokens} tokens, and {said.most_tokens_per_second:g} for each second of sound"
        choices.append(Choice("answers", longest, made_for_it))
    if options.quantization:
        choices.append(Choice("quantised", options.quantization, "as asked for; the decoder's layers only"))
    return Plan(
        model,
        device,
        dtype,
        context,
        options.places,
        clips,
        BATCH[device],
        kv_cache,
        utilisation,
        attention,
        threads,
        options.tensor_parallel,
        options.quantization,
        tuple(choices),
    )


def _cpu_dtype(machine: Machine, model: Model, options: Options) -> tuple[str, str]:
    if options.dtype == "bfloat16" and not machine.has_bfloat16:
        raise Refused(
            "This CPU has no instructions for bfloat16 (avx512_bf16 or amx_bf16), and imitating them is many "
            "times slower. Leave --dtype out: float32 is used, which takes twice the memory."
        )
    if options.dtype:
        return _asked(options.dtype, model)
    if model.quantised:
        return "bfloat16", "its quantised decoder is computed with it, also where the CPU has to imitate it"
    if machine.has_bfloat16:
        return "bfloat16", "this CPU computes in it, in half the memory of float32"
    return "float32", "this CPU has no instructions for bfloat16"


def _gpu_dtype(capability: float, model: Model, options: Options) -> tuple[str, str]:
    if options.dtype == "bfloat16" and capability < 8:
        raise Refused(
            f"This GPU (compute capability {capability:g}) has no bfloat16; from 8.0 on they do. "
            "Leave --dtype out."
        )
    if options.dtype:
        return _asked(options.dtype, model)
    if capability >= 8:
        return "bfloat16", "this GPU computes in it, in half the memory of float32"
    if model.soft_cap:
        return "float32", "this GPU has no bfloat16, and Gemma 2 overflows in float16"
    return "float16", "this GPU has no bfloat16"


def _asked(dtype: str, model: Model) -> tuple[str, str]:
    if dtype == "float16" and model.soft_cap:
        raise Refused("Gemma 2 overflows in float16. Leave --dtype out, or ask for bfloat16 or float32.")
    return dtype, "as asked for"


def _threads(machine: Machine, workers: int) -> str | None:
    """CPU numbers for each of several workers; vLLM shares them out by itself only among NUMA nodes."""
    if workers == 1:
        return None
    if workers > len(machine.cpus):
        raise Refused(
            f"--tensor-parallel-size {workers} needs a CPU for each part, and there are "
            f"{len(machine.cpus)}. Ask for fewer."
        )
    share = len(machine.cpus) // workers
    groups = (machine.cpus[at * share : (at + 1) * share] for at in range(workers))
    return "|".join(",".join(map(str, group)) for group in groups)


def _fitting(wanted: int, room: int, asked: int | None) -> int | None:
    """The longest context up to `wanted` tokens that fits into `room`; None where the least does not."""
    if wanted <= room:
        return wanted
    least = min(wanted, LEAST_CONTEXT)
    return None if asked or room < least else room // BLOCK * BLOCK


def _weight_bytes(model: Model, dtype: str, quantization: str | None) -> int:
    if model.quantised:
        return model.weight_bytes
    if quantization is None:
        return model.parameters * BYTES[dtype]
    rate = QUANTISED.get(quantization)
    if rate is None:  # a method that reads weights as they were stored
        return model.weight_bytes
    return int(model.quantisable * rate) + (model.parameters - model.quantisable) * BYTES[dtype]


def _blocks(tokens: int) -> int:
    return -(-tokens // BLOCK)


def _too_little(machine: Machine, model: Model, dtype: str, weights: int, needed: int, least: int) -> str:
    halves = dtype == "float32" and machine.has_bfloat16
    return (
        f"{model.name} needs about {_gib(needed)} of memory in {dtype} ({_gib(weights)} weights, "
        f"{_gib(PROCESSES)} for vLLM's processes, the rest for a conversation of {least:,} tokens), and "
        f"{_gib(machine.memory)} are free. Close other programs, "
        + ("ask for --dtype bfloat16, " if halves else "")
        + "choose a smaller model, or use a machine with more memory or a GPU."
    )


def _too_small(machine: Machine, model: Model, options: Options, dtype: str, usable: int, least: int) -> str:
    """Why a GPU's memory is too little, and the first way out that the figures allow."""
    token = model.kv_bytes * BYTES[dtype] // 2

    def needed(quantization: str | None, cards: int) -> int:
        everything = _weight_bytes(model, dtype, quantization) + least * token
        return everything // cards + WORKING_BYTES

    ways = [f"--quantization {name}" for name in QUANTISED if needed(name, options.tensor_parallel) <= usable]
    ways += [
        f"--tensor-parallel-size {cards}"
        for cards in range(options.tensor_parallel + 1, len(machine.gpus) + 1)
        if needed(options.quantization, cards) <= usable
    ]
    asked = needed(options.quantization, options.tensor_parallel)
    way = (
        f"Try {' or '.join(ways)}."
        if ways
        else (
            f"Choose a smaller model, or a GPU of at least {_gib(int(asked / UTILISATION))}; quantised, of "
            f"{_gib(int(needed('bitsandbytes', options.tensor_parallel) / UTILISATION))}."
        )
    )
    return (
        f"{model.name} needs about {_gib(asked)} on each GPU in {options.quantization or dtype}, with a "
        f"conversation of {least:,} tokens, and {_gib(usable)} can be used. {way}"
    )


def _why_cpu(machine: Machine) -> str:
    if machine.gpus:
        return "vLLM for CPUs is installed; for the GPU see requirements/vllm-gpu.txt"
    return "there is no NVIDIA GPU"


def _why_context(context: int, wanted: int, model: Model) -> str:
    if context < wanted:
        return f"all that fits in memory, of {wanted:,}"
    if context == model.positions:
        return "all that the decoder can hold"
    return f"--context takes up to {model.positions:,}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
