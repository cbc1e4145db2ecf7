"""A checkpoint folder is looked at without torch, and everything wrong with it is said in a sentence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from model.checkpoints import __main__ as command_line
from model.checkpoints.inspect import MOST_PROBLEMS, CheckpointError, inspect
from model.checkpoints.shapes import DECODER_DEFAULTS, WHISPER_DEFAULTS
from tests.speech import ROOT

D, FFN, MEL, HIDDEN, VOCABULARY, INNER = 8, 16, 128, 12, 40, 20
HEADS, KV, WIDTH = 4, 2, 6
WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "I8": 1}
Header = dict[str, tuple[str, tuple[int, ...]]]


def write_safetensors(path: Path, tensors: Header, cut: int = 0) -> None:
    """A safetensors file of zeros, `cut` bytes short."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = math.prod(shape) * WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(at - cut))


def linear(name: str, out: int, into: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), **({f"{name}.bias": (out,)} if bias else {})}


def norm(name: str, size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), **({f"{name}.bias": (size,)} if bias else {})}


def tensors(layout: str, last: int = 3, gemma: bool = True) -> dict[str, tuple[int, ...]]:
    """The published names, written out by hand: two encoder and two decoder layers."""
    encoder, decoder, at = "speech_encoder", "text_decoder.model", "speech_audio_adapter"
    found: dict[str, tuple[int, ...]] = {
        f"{encoder}.conv1.weight": (D, MEL, 3),
        f"{encoder}.conv1.bias": (D,),
        f"{encoder}.conv2.weight": (D, D, 3),
        f"{encoder}.conv2.bias": (D,),
        f"{encoder}.embed_positions.weight": (1_500, D),
        f"{decoder}.embed_tokens.weight": (VOCABULARY, HIDDEN),
        **norm(f"{encoder}.layer_norm", D),
        **norm("ln_speech", D),
        **norm(f"{decoder}.norm", HIDDEN, bias=False),
    }
    for layer in ("0", "1"):
        here = f"{encoder}.layers.{layer}"
        found |= linear(f"{here}.self_attn.k_proj", D, D, bias=False)
        for name in ("q_proj", "v_proj", "out_proj"):
            found |= linear(f"{here}.self_attn.{name}", D, D)
        found |= linear(f"{here}.fc1", FFN, D) | linear(f"{here}.fc2", D, FFN)
        found |= norm(f"{here}.self_attn_layer_norm", D) | norm(f"{here}.final_layer_norm", D)
        here = f"{decoder}.layers.{layer}"
        for name, heads in (("q_proj", HEADS), ("k_proj", KV), ("v_proj", KV)):
            found |= linear(f"{here}.self_attn.{name}", heads * WIDTH, HIDDEN, bias=False)
        found |= linear(f"{here}.self_attn.o_proj", HIDDEN, HEADS * WIDTH, bias=False)
        for name in ("gate_proj", "up_proj"):
            found |= linear(f"{here}.mlp.{name}", INNER, HIDDEN, bias=False)
        found |= linear(f"{here}.mlp.down_proj", HIDDEN, INNER, bias=False)
        for name in ("input_layernorm", "post_attention_layernorm"):
            found |= norm(f"{here}.{name}", HIDDEN, bias=False)
        for name in ("pre_feedforward_layernorm", "post_feedforward_layernorm") if gemma else ():
            found |= norm(f"{here}.{name}", HIDDEN, bias=False)
    if layout == "v1":
        found |= linear(f"{at}.mlp_adapter.0", D, 15 * D) | linear(f"{at}.speech_llm_proj.0", 4 * D, D)
        found |= linear(f"{at}.speech_llm_proj.{last}", HIDDEN, 4 * D)
    else:
        found |= linear(f"{at}.mlp_adapter.0", 5 * D, 15 * D) | linear(f"{at}.out_proj", HIDDEN, 5 * D)
        found |= linear(f"{at}.gate_proj", 5 * D, 5 * D) | linear(f"{at}.pool_proj", 5 * D, 5 * D)
    return found


class Checkpoint:
    """A whole checkpoint folder, to be damaged in one place."""

    def __init__(self, folder: Path, layout: str = "v2") -> None:
        self.folder = folder
        name = "meralion" if layout == "v1" else "meralion2"
        self.config: dict[str, Any] = {
            "model_type": name,
            "architectures": ["MERaLiON2ForConditionalGeneration"],
            "speech_config": {
                "d_model": D,
                "encoder_layers": 2,
                "encoder_attention_heads": 2,
                "encoder_ffn_dim": FFN,
                "num_mel_bins": MEL,
            },
            "text_config": {
                "model_type": "gemma2",
                "hidden_size": HIDDEN,
                "num_hidden_layers": 2,
                "num_attention_heads": HEADS,
                "num_key_value_heads": KV,
                "head_dim": WIDTH,
                "intermediate_size": INNER,
                "vocab_size": VOCABULARY,
            },
            "speech_token_index": VOCABULARY - 1,
        }
        self.tensors: Header = {key: ("F32", shape) for key, shape in tensors(layout).items()}
        self.tokenizer: dict[str, Any] = {
            "added_tokens": [{"id": VOCABULARY - 1, "content": "<SpeechHere>"}],
            "model": {"vocab": {}},
        }
        self.preprocessor: dict[str, Any] = {"feature_size": MEL}
        self.write()

    def write(self) -> None:
        for name, content in (
            ("config.json", self.config),
            ("tokenizer.json", self.tokenizer),
            ("preprocessor_config.json", self.preprocessor),
        ):
            (self.folder / name).write_text(json.dumps(content))
        write_safetensors(self.folder / "model.safetensors", self.tensors)

    def shard(self, leave_out: Iterable[str] = (), cut: int = 0) -> None:
        """Cut the weights into two files, the second without some tensors, or cut short."""
        (self.folder / "model.safetensors").unlink()
        names = list(self.tensors)
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        weight_map = {}
        for number, half in enumerate(halves, 1):
            shard = f"model-0000{number}-of-00002.safetensors"
            weight_map |= dict.fromkeys(half, shard)
            held = {name: self.tensors[name] for name in half if name not in set(leave_out)}
            write_safetensors(self.folder / shard, held, cut if number == 2 else 0)
        index = self.folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": weight_map}))

    @property
    def problems(self) -> list[str]:
        return inspect(self.folder).problems


@pytest.fixture
def good(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path)


def test_a_whole_checkpoint_has_no_problems_and_its_parts_are_counted(good: Checkpoint) -> None:
    report = inspect(good.folder)
    assert report.problems == []
    assert report.layout and report.layout.id == "v2"
    assert (report.dtype, report.decoder, report.needs_soft_cap) == ("float32", "gemma2", True)
    assert report.max_positions == 8_192  # Gemma2Config's default, which a published config.json leaves out
    assert report.parameters["ln_speech"] == 2 * D
    assert report.total == sum(math.prod(shape) for _, shape in good.tensors.values())
    assert report.weight_bytes == 4 * report.total
    assert report.names == set(good.tensors)
    assert "MERaLiON-2" in report.summary() and "can be served" in report.summary()


@pytest.mark.parametrize("last", [2, 3])
def test_both_places_of_the_first_releases_last_layer_are_known(tmp_path: Path, last: int) -> None:
    checkpoint = Checkpoint(tmp_path, "v1")
    checkpoint.tensors = {key: ("BF16", shape) for key, shape in tensors("v1", last).items()}
    checkpoint.write()
    report = inspect(tmp_path)
    assert report.problems == [] and report.adapter == "mlp" and report.dtype == "bfloat16"
    assert report.layout and report.layout.id == "v1"


def test_shards_are_read_together(good: Checkpoint) -> None:
    good.shard()
    assert good.problems == []
    assert inspect(good.folder).names == set(good.tensors)


def test_a_llama_decoder_is_checked_by_its_own_shapes(good: Checkpoint) -> None:
    text = good.config["text_config"] | {"model_type": "llama"}
    good.config["text_config"] = text
    good.tensors = {key: ("F32", shape) for key, shape in tensors("v2", gemma=False).items()}
    good.write()
    assert good.problems == [
        f"The weights lack text_decoder.lm_head.weight of the shape [{VOCABULARY}, {HIDDEN}]. "
        "Download them again."
    ]
    text["tie_word_embeddings"] = True
    good.write()
    report = inspect(good.folder)
    assert report.problems == [] and not report.needs_soft_cap


def test_an_output_layer_beside_a_tied_one_is_accepted(good: Checkpoint) -> None:
    good.tensors["text_decoder.lm_head.weight"] = ("F32", (VOCABULARY, HIDDEN))
    good.write()
    report = inspect(good.folder)
    assert report.problems == [] and report.notes == []


def test_what_is_only_odd_is_a_note(good: Checkpoint) -> None:
    good.tensors["speech_encoder.extra.weight"] = ("F32", (2,))
    good.tensors["ln_speech.weight"] = ("BF16", (D,))
    good.write()
    report = inspect(good.folder)
    assert report.problems == []
    assert any("extra" in note for note in report.notes) and any("mix types" in note for note in report.notes)


def test_a_text_decoder_under_the_releases_own_name_is_gemma(good: Checkpoint) -> None:
    good.config["text_config"]["model_type"] = "meralion2_text_model"
    good.write()
    report = inspect(good.folder)
    assert report.problems == [] and report.decoder == "gemma2"


def test_of_a_decoder_that_is_not_known_the_embedding_and_the_layers_are_checked(good: Checkpoint) -> None:
    good.config["text_config"]["model_type"] = "qwen2"
    good.tensors = {name: tensor for name, tensor in good.tensors.items() if "layernorm" not in name}
    good.write()
    report = inspect(good.folder)
    assert report.problems == [] and report.decoder == "qwen2" and not report.needs_soft_cap
    good.config["text_config"]["num_hidden_layers"] = 5
    good.write()
    assert any("hold 2 decoder layers" in problem for problem in good.problems)


def rewritten(key: str, value: Any) -> Callable[[Checkpoint], None]:
    """A change of config.json, `key` as "section.name"."""

    def change(checkpoint: Checkpoint) -> None:
        *sections, name = key.split(".")
        section = checkpoint.config
        for step in sections:
            section = section[step]
        section[name] = value
        checkpoint.write()

    return change


def reshaped(name: str, shape: tuple[int, ...] | None, dtype: str = "F32") -> Callable[[Checkpoint], None]:
    def change(checkpoint: Checkpoint) -> None:
        if shape is None:
            del checkpoint.tensors[name]
        else:
            checkpoint.tensors[name] = (dtype, shape)
        checkpoint.write()

    return change


def without(name: str) -> Callable[[Checkpoint], None]:
    return lambda checkpoint: (checkpoint.folder / name).unlink()


def instead(name: str, content: bytes) -> Callable[[Checkpoint], None]:
    def change(checkpoint: Checkpoint) -> None:
        (checkpoint.folder / name).write_bytes(content)

    return change


def another_family(checkpoint: Checkpoint) -> None:
    checkpoint.config |= {
        "model_type": "qwen2_audio",
        "architectures": ["Qwen2AudioForConditionalGeneration"],
    }
    checkpoint.write()


def only_bin(checkpoint: Checkpoint) -> None:
    (checkpoint.folder / "model.safetensors").rename(checkpoint.folder / "pytorch_model.bin")


def lost_shard(checkpoint: Checkpoint) -> None:
    checkpoint.shard()
    (checkpoint.folder / "model-00002-of-00002.safetensors").unlink()


def lost_index(checkpoint: Checkpoint) -> None:
    checkpoint.shard()
    (checkpoint.folder / "model.safetensors.index.json").unlink()


def unknown_adapter(checkpoint: Checkpoint) -> None:
    checkpoint.tensors = {
        name.replace("adapter.gate_proj", "adapter.q_former"): t for name, t in checkpoint.tensors.items()
    }
    checkpoint.write()


def moved_token(checkpoint: Checkpoint) -> None:
    checkpoint.tokenizer["added_tokens"][0]["id"] = 7
    checkpoint.write()


def no_token(checkpoint: Checkpoint) -> None:
    checkpoint.tokenizer["added_tokens"] = []
    checkpoint.write()


def other_mel_bins(checkpoint: Checkpoint) -> None:
    checkpoint.preprocessor["feature_size"] = 80
    checkpoint.write()


def eight_bits(checkpoint: Checkpoint) -> None:
    checkpoint.tensors = {name: ("I8", shape) for name, (_, shape) in checkpoint.tensors.items()}
    checkpoint.write()


def outside(checkpoint: Checkpoint) -> None:
    checkpoint.shard()
    index = checkpoint.folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"ln_speech.weight": "../../secret.safetensors"}}))


GATE, EMBEDDING = "speech_audio_adapter.gate_proj.weight", "text_decoder.model.embed_tokens.weight"
BAD: list[tuple[str, Callable[[Checkpoint], None], str]] = [
    ("no config", without("config.json"), "config.json is missing; download it again"),
    ("config is not JSON", instead("config.json", b"{'a': 1"), "config.json cannot be read as JSON"),
    ("config is a list", instead("config.json", b"[]"), "config.json cannot be read as JSON"),
    ("config is nested without end", instead("config.json", b"[" * 100_000), "cannot be read as JSON"),
    ("another family", another_family, "model_type 'qwen2_audio'"),
    ("another release", rewritten("model_type", "meralion3_chat"), 'write "model_type": "meralion2" into it'),
    ("another size", rewritten("text_config.hidden_size", "large"), "text_config.hidden_size is 'large'"),
    ("endless layers", rewritten("speech_config.encoder_layers", 10**9), "from 1 to 1,000"),
    ("uneven stack", rewritten("speech_mlp_scale_factor", 7), "must divide 1,500 evenly"),
    ("no weights", without("model.safetensors"), "There are no weights"),
    ("pickled weights", only_bin, "Convert them to safetensors"),
    ("lost shard", lost_shard, "model-00002-of-00002.safetensors is missing; download it again."),
    ("lost index", lost_index, "model.safetensors.index.json is missing"),
    ("shard cut short", lambda c: c.shard(cut=1), "model-00002-of-00002.safetensors is cut short"),
    ("shard without a tensor", lambda c: c.shard(leave_out=[list(c.tensors)[-1]]), "does not hold"),
    ("index that leads away", outside, "names files outside the folder"),
    ("empty weights", instead("model.safetensors", b""), "is not a safetensors file"),
    ("header beyond the file", instead("model.safetensors", b"\xff" * 64), "is cut short or is not"),
    (
        "header is not JSON",
        instead("model.safetensors", (4).to_bytes(8, "little") + b"abcd"),
        "cannot be read",
    ),
    ("tensor missing", reshaped(GATE.replace("gate", "pool"), None), "lack speech_audio_adapter.pool_proj"),
    (
        "another shape",
        reshaped("speech_encoder.conv1.weight", (D, 80, 3)),
        "speech_encoder.conv1.weight has the shape [8, 80, 3]; config.json asks for [8, 128, 3]",
    ),
    ("another vocabulary", reshaped(EMBEDDING, (VOCABULARY + 1, HIDDEN)), "has the shape [41, 12]"),
    (
        "fewer encoder layers",
        rewritten("speech_config.encoder_layers", 3),
        "hold 2 encoder layers and config.json says 3",
    ),
    (
        "more decoder layers",
        rewritten("text_config.num_hidden_layers", 1),
        "hold 2 decoder layers and config.json says 1",
    ),
    ("unknown adapter", unknown_adapter, "The adapter is of a kind that is not known"),
    (
        "another adapter",
        rewritten("speech_adapter", "mlp"),
        "hold the gated adapter and config.json means the mlp",
    ),
    ("mel bins", other_mel_bins, "makes 80 mel bins and the encoder reads 128"),
    ("no preprocessor", without("preprocessor_config.json"), "preprocessor_config.json is missing"),
    ("no tokenizer", without("tokenizer.json"), "tokenizer.json is missing"),
    ("no speech token", no_token, "does not know <SpeechHere>"),
    (
        "speech token elsewhere",
        moved_token,
        "has <SpeechHere> at 7 and config.json says speech_token_index 39",
    ),
    ("speech token outside", rewritten("speech_token_index", 40), "outside the vocabulary of 40 tokens"),
    ("quantised", eight_bits, "The weights are int8, which cannot be served here"),
]


@pytest.mark.parametrize(("damage", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_everything_wrong_has_its_sentence(
    good: Checkpoint, damage: Callable[[Checkpoint], None], sentence: str
) -> None:
    damage(good)
    problems = good.problems
    assert any(sentence in problem for problem in problems), problems
    assert len(problems) <= 2, "one damage, and not a list of all that follows from it"
    assert all(problem.endswith(".") for problem in problems)
    assert "cannot be served" in inspect(good.folder).summary()


@pytest.mark.parametrize(
    "key",
    [
        "speech_config.max_source_positions",
        "text_config.max_position_embeddings",
        "speech_mlp_scale_factor",
        "speech_adapter",
    ],
)
def test_null_counts_as_absent(good: Checkpoint, key: str) -> None:
    rewritten(key, None)(good)
    assert good.problems == [] and inspect(good.folder).max_positions == 8_192


@pytest.mark.parametrize(
    "key",
    [
        f"{section}.{name}"
        for section, names in (
            ("speech_config", WHISPER_DEFAULTS),
            ("text_config", DECODER_DEFAULTS["llama"]),
        )
        for name in names
    ]
    + ["model_type", "architectures", "speech_config", "text_config", "speech_token_index"],
)
@pytest.mark.parametrize("decoder", ["gemma2", "llama", "gpt2"])
@pytest.mark.parametrize("value", [None, math.inf, math.nan, 10**400, -1, 0, "1", [5], {"a": []}, True])
def test_it_never_raises_for_a_configuration(good: Checkpoint, key: str, decoder: str, value: object) -> None:
    good.config["text_config"]["model_type"] = decoder
    rewritten(key, value)(good)
    assert inspect(good.folder).summary()


@pytest.mark.parametrize("value", [None, 5, "x", math.inf, [5, None], {"x": 5}])
@pytest.mark.parametrize("key", ["added_tokens", "added_tokens_decoder", "model"])
def test_it_never_raises_for_a_tokenizer(good: Checkpoint, key: str, value: object) -> None:
    good.tokenizer[key] = value
    good.write()
    assert inspect(good.folder).summary()
    good.tokenizer["added_tokens_decoder"] = {"9" * 5_000: {"content": "<SpeechHere>"}}
    good.write()
    assert inspect(good.folder).summary()


@pytest.mark.parametrize("size", ["Infinity", "1e999", "NaN", "-1", "1.5", "null", "[]", "9" * 4_000])
@pytest.mark.parametrize(
    "entry", ['"shape":[SIZE],"data_offsets":[0,4]', '"shape":[1],"data_offsets":[0,SIZE]']
)
def test_it_never_raises_for_a_header(good: Checkpoint, entry: str, size: str) -> None:
    raw = f'{{"a":{{"dtype":"F32",{entry.replace("SIZE", size)}}}}}'.encode()
    (good.folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(4))
    assert good.problems == ["The header of model.safetensors cannot be read; download it again."]


def test_it_never_raises_for_names(good: Checkpoint) -> None:
    good.tensors[f"speech_encoder.layers.{'9' * 5_000}.fc1.bias"] = ("F32", (1,))
    good.write()
    assert inspect(good.folder).summary()
    (good.folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x" * 300}}))
    assert any("is missing" in problem for problem in good.problems)
    assert inspect(good.folder / ("x" * 300)).problems


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    report = inspect(tmp_path / "nowhere")
    assert len(report.problems) == 1 and "is not a folder" in report.problems[0]


def test_problems_without_end_are_cut(good: Checkpoint) -> None:
    good.config["speech_config"]["d_model"] = 2 * D
    good.write()
    problems = good.problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1].startswith("And ") and "more problems" in problems[-1]
    error = CheckpointError(good.folder, problems)
    assert str(good.folder) in str(error) and problems[0] in str(error)


def test_the_command_says_it_and_needs_no_torch(good: Checkpoint) -> None:
    command = [sys.executable, "-m", "model.checkpoints", "inspect", str(good.folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert answer.returncode == 0 and "It can be served." in answer.stdout
    (good.folder / "tokenizer.json").unlink()
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert answer.returncode == 1 and "problem: tokenizer.json is missing" in answer.stdout


@pytest.mark.parametrize("command", ["build DIR", "convert DIR", "download MERaLiON/MERaLiON-2-3B DIR"])
def test_a_command_that_lacks_its_libraries_says_where_they_are(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line.importlib.util, "find_spec", lambda name: None)
    assert command_line.main(command.replace("DIR", str(tmp_path / "a")).split()) == 2
    assert "run it with .venv-vllm/bin/python; `make vllm`" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("shards", ["0", "-1", "x"])
def test_shards_are_counted_from_one(shards: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        command_line.main(["build", str(tmp_path), "--shards", shards])
    assert left.value.code == 2
