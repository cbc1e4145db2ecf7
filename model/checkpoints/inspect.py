"""What a checkpoint folder holds and what is wrong with it, in words, without torch and without its weights.

Only config.json, the tokenizer's and the preprocessor's files and the headers of the weights are read, each
up to a size, so that a folder somebody downloaded can be looked at before anything trusts it.
"""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model import layouts
from model.checkpoints import safetensors_headers
from model.checkpoints.safetensors_headers import HeaderError, Tensor
from model.checkpoints.shapes import Sizes
from model.checkpoints.weight_problems import LAST_LAYERS, and_more, is_number, quantisation, weight_problems
from model.layouts import SPEECH_TOKEN, AdapterKind, Layout

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST_JSON = 200_000_000  # bytes; the largest tokenizer.json in use is 34 MB
MOST_PROBLEMS = 12
PARTS = ("speech_encoder", "ln_speech", "speech_audio_adapter", "text_decoder")
SERVABLE = ("float32", "bfloat16", "float16")
GIB = 1 << 30
WORKING_BYTES = 2 * GIB  # activations and libraries beside weights and KV cache; a rule of thumb


class CheckpointError(ValueError):
    """A checkpoint folder cannot be served; the message joins its problems."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        super().__init__(f"{folder} cannot be served. " + " ".join(problems))
        self.folder, self.problems = folder, problems


@dataclass(frozen=True)
class Report:
    """A checkpoint folder in numbers, and its problems as sentences (none: it can be served)."""

    folder: Path
    layout: Layout | None = None
    adapter: AdapterKind | None = None
    decoder: str = ""
    dtype: str = ""
    parameters: dict[str, int] = field(default_factory=dict)  # by part
    weight_bytes: int = 0
    max_positions: int = 0  # tokens that the decoder can hold
    kv_bytes: int = 0  # of one token in the KV cache, at 2 bytes a number
    needs_soft_cap: bool = False
    names: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    quantised: str = ""  # how, such as "compressed-tensors"; empty: not at all

    @property
    def total(self) -> int:
        """Parameters of all parts."""
        return sum(self.parameters.values())

    def summary(self) -> str:
        """What this is, what it needs and what is wrong, over several lines."""
        lines = [str(self.folder)]
        if self.layout:
            lines.append(f"  release    {self.layout.title} (layout {self.layout.id}), {self.layout.licence}")
        if self.parameters:
            adapter = {"gated": "gated", "mlp": "MLP"}.get(self.adapter or "", "unknown")
            lines += [f"  {name:<21}{count:>16,} parameters" for name, count in self.parameters.items()]
            lines += [
                f"  {'together':<21}{self.total:>16,} parameters, {self.weight_bytes / 1e9:,.2f} GB "
                f"in {self.dtype or 'no type that can be served'}{self._rounded()}",
                f"  adapter {adapter}, decoder {self.decoder} of {self.max_positions:,} positions",
                *self._needs(),
            ]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  problem: {problem}" for problem in self.problems]
        lines.append("  It can be served." if not self.problems else "  It cannot be served as it is.")
        return "\n".join(lines)

    def _rounded(self) -> str:
        return f" and a decoder quantised by {self.quantised}" if self.quantised else ""

    def _needs(self) -> list[str]:
        halved = self.weight_bytes if self.quantised else 2 * self.total
        cache = self.kv_bytes * self.max_positions
        needed = (halved + cache + WORKING_BYTES) / GIB
        return [
            f"  to serve it in bfloat16: about {needed:,.1f} GiB of GPU memory, or of RAM on a CPU "
            f"({halved / GIB:,.1f} weights, {cache / GIB:,.1f} KV cache for one conversation of full length, "
            f"{WORKING_BYTES / GIB:g} to work in); float32 takes twice the first two"
        ] + (["  its attention is soft-capped: on a GPU use FlashInfer"] if self.needs_soft_cap else [])


def inspect(folder: Path) -> Report:
    """Look at a checkpoint folder. Never raises for what is in it: everything wrong becomes a sentence."""
    if not _is_folder(folder):
        return Report(folder, problems=[f"{folder} is not a folder. Check the path of the checkpoint."])
    problems: list[str] = []
    config = _json(folder, CONFIG, problems)
    before = len(problems)
    tensors = _tensors(folder, problems)
    whole = len(problems) == before  # else a file is at fault, and not each tensor that it would have held
    if config is None:
        return Report(folder, names=frozenset(tensors), problems=_bounded(problems))
    notes: list[str] = []
    sizes = Sizes(config)
    kind = adapter_of(set(tensors))
    layout = _layout(config, kind, problems)
    problems += sizes.problems
    if tensors and whole and not sizes.problems:
        problems += weight_problems(tensors, sizes, config, layout, kind, notes)
    problems += _preprocessor_problems(folder, sizes)
    problems += _tokenizer_problems(folder, sizes)
    method = quantisation(config)
    dtype = _dtype(tensors, bool(method), problems, notes)
    _, kv, width = sizes.heads
    return Report(
        folder,
        layout,
        kind,
        sizes.decoder,
        dtype,
        {part: sum(t.parameters for name, t in tensors.items() if _part(name) == part) for part in PARTS},
        sum(tensor.bytes for tensor in tensors.values()),
        int(sizes.text.get("max_position_embeddings") or 0),
        2 * 2 * kv * width * int(sizes.text.get("num_hidden_layers") or 0),
        sizes.text.get("attn_logit_softcapping") is not None,
        frozenset(tensors),
        _bounded(problems),
        notes,
        method,
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long, or a folder above it that may not be read
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def adapter_of(names: set[str]) -> AdapterKind | None:
    """The adapter that tensor names show, whatever the configuration calls the model."""
    at = "speech_audio_adapter"
    if f"{at}.gate_proj.weight" in names:
        return "gated"
    return "mlp" if any(f"{at}.speech_llm_proj.{last}.weight" in names for last in LAST_LAYERS) else None


def _json(folder: Path, name: str, problems: list[str]) -> dict[str, Any] | None:
    path = folder / name
    if not _is_file(path):
        problems.append(f"{name} is missing; download it again, from the same release as the weights.")
        return None
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError("too large")
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        problems.append(f"{name} cannot be read as JSON; download it again.")
        return None
    return found


def _tensors(folder: Path, problems: list[str]) -> dict[str, Tensor]:
    """Every tensor of the weight files by name, as far as they can be read."""
    index = _json(folder, INDEX, problems) if _is_file(folder / INDEX) else None
    if index is None:
        return _headers(folder, _single(folder, problems), problems)
    listed = index.get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(shard, str) for shard in listed.values()):
        problems.append(f"{INDEX} has no list of tensors; download it again.")
        return {}
    shards = sorted(set(listed.values()))
    if outside := [shard for shard in shards if Path(shard).name != shard]:
        problems.append(f"{INDEX} names files outside the folder ({outside[0]}); do not use this checkpoint.")
        return {}
    found = _headers(folder, shards, problems)
    whole = {shard for shard in shards if _is_file(folder / shard)}
    unheld = [name for name, shard in listed.items() if shard in whole and name not in found]
    if unheld and not problems:
        problems.append(
            f"{INDEX} and the weights disagree: {listed[unheld[0]]} does not hold {unheld[0]}"
            f"{and_more(len(unheld) - 1)}; download both again."
        )
    return found


def _single(folder: Path, problems: list[str]) -> list[str]:
    if _is_file(folder / SINGLE):
        return [SINGLE]
    if any(folder.glob("*.safetensors")):
        problems.append(f"{INDEX} is missing, which lists the weight files; download it again.")
    elif any(folder.glob("*.bin")) or any(folder.glob("*.pth")) or any(folder.glob("*.pt")):
        problems.append(
            "The weights are only there as .bin or .pt files, which can run code when they are read. "
            "Convert them to safetensors, or download the safetensors files of the release."
        )
    else:
        problems.append(f"There are no weights: neither {SINGLE} nor {INDEX} is there; download them.")
    return []


def _headers(folder: Path, shards: list[str], problems: list[str]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for shard in shards:
        if not _is_file(folder / shard):
            problems.append(f"{shard} is missing; download it again.")
            continue
        try:
            found |= safetensors_headers.read(folder / shard)
        except HeaderError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{shard} cannot be read ({error.strerror}); check its permissions.")
    return found


def _layout(config: dict[str, Any], kind: AdapterKind | None, problems: list[str]) -> Layout | None:
    said, named = config.get("model_type"), config.get("architectures")
    model_type = said if isinstance(said, str) else ""
    architectures = tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()
    found = layouts.find(model_type, architectures, kind)
    if found is None:
        known = ", ".join(layout.model_type for layout in layouts.LAYOUTS)
        problems.append(
            f"config.json says model_type '{model_type}', which is not an audio LLM of this family "
            f"({known}). Choose the folder of one of these."
        )
    elif model_type not in layouts.BY_MODEL_TYPE:
        problems.append(
            f"config.json says model_type '{model_type}', a release that is not known here. Its weights are "
            f'like {found.title}: write "model_type": "{found.model_type}" into it to serve it as one.'
        )
    return found


def _preprocessor_problems(folder: Path, sizes: Sizes) -> list[str]:
    problems: list[str] = []
    found = _json(folder, PREPROCESSOR, problems)
    if found is None:
        return problems
    mel, wanted = found.get("feature_size"), sizes.encoder["num_mel_bins"]
    mel = 80 if mel is None else mel
    if mel != wanted:
        problems.append(
            f"{PREPROCESSOR} makes {reprlib.repr(mel)} mel bins and the encoder reads {wanted}. "
            f"Take the {PREPROCESSOR} of the same release."
        )
    return problems


def _tokenizer_problems(folder: Path, sizes: Sizes) -> list[str]:
    """Whether the tokenizer has `<SpeechHere>` where the configuration says."""
    problems: list[str] = []
    index, vocabulary = sizes.speech_token_index, sizes.text.get("vocab_size")
    if index is not None and vocabulary is not None and index >= vocabulary:
        problems.append(
            f"speech_token_index is {index:,} in config.json, outside the vocabulary of {vocabulary:,} "
            "tokens. Take config.json and weights from the same release."
        )
    source = next((n for n in ("tokenizer.json", "tokenizer_config.json") if _is_file(folder / n)), None)
    if source is None:
        return [*problems, "tokenizer.json is missing; download the tokenizer's files of the release."]
    found = _json(folder, source, problems)
    if found is None:
        return problems
    token = _token_id(found, SPEECH_TOKEN)
    if token is None:
        problems.append(
            f"{source} does not know {SPEECH_TOKEN}, where the audio goes. "
            "Take the tokenizer's files of the same release."
        )
    elif index is not None and token != index:
        problems.append(
            f"{source} has {SPEECH_TOKEN} at {token:,} and config.json says speech_token_index {index:,}. "
            "Take both from the same release."
        )
    return problems


def _token_id(tokenizer: dict[str, Any], text: str) -> int | None:
    """The id of a token in tokenizer.json or tokenizer_config.json."""
    added = tokenizer.get("added_tokens")
    for entry in added if isinstance(added, list) else ():
        if isinstance(entry, dict) and entry.get("content") == text and isinstance(entry.get("id"), int):
            return int(entry["id"])
    decoder = tokenizer.get("added_tokens_decoder")
    for number, entry in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(entry, dict) and entry.get("content") == text and is_number(number):
            return int(number)
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    found = vocabulary.get(text) if isinstance(vocabulary, dict) else None
    return found if isinstance(found, int) else None


def _dtype(tensors: dict[str, Tensor], quantised: bool, problems: list[str], notes: list[str]) -> str:
    """The type of most parameters; others are noted, and one that cannot be served is a problem.

    Of quantised weights it is the type of those that were left whole.
    """
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        if not quantised or tensor.dtype in SERVABLE:
            counts[tensor.dtype] += tensor.parameters
    if not counts:
        return ""
    most = counts.most_common(1)[0][0]
    if len(counts) > 1:
        notes.append(
            "The weights mix types: " + ", ".join(f"{n:,} {name}" for name, n in counts.most_common())
        )
    if most not in SERVABLE:
        problems.append(
            f"The weights are {most}, which cannot be served here. Download the release in bfloat16."
        )
    return most


def _part(name: str) -> str:
    return name.split(".", 1)[0]


def _bounded(problems: list[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return problems if more <= 0 else [*problems[:MOST_PROBLEMS], f"And {more:,} more problems like these."]
