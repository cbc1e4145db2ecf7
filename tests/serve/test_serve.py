"""`python -m model.serve` on paper: the flags it would give, and what it refuses to start."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from model.checkpoints.inspect import Report, inspect
from model.mini import MINI_ID
from model.serve import command, models, traces
from model.serve.interpreter import Interpreter
from model.serve.machine import GIB
from model.serve.options import Options, read
from model.serve.plan import Device, Model, plan
from model.serve.refused import Refused
from tests.model import mini
from tests.model.test_inspect import Checkpoint
from tests.serve.machines import H100, SMALL, with_gpus
from tests.speech import CASCADE, ROOT


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    folder = tmp_path / "a-model"
    folder.mkdir()
    return Checkpoint(folder)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model.serve", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def refused(*arguments: str, **environment: str) -> str:
    done = run(*arguments, **environment)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def flags(report: Report, build: Device = "cpu", *arguments: str) -> dict[str, str]:
    """vLLM's flags and their values, for a small CPU or an H100."""
    options = read(["a-model", *arguments])
    machine = SMALL if build == "cpu" else with_gpus(H100)
    decided = plan(machine, Model.of(report, "a-model"), options, build)
    words = iter(command.arguments(decided, report, options, 8001)[2:])
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word
            found[name] = ""
        else:
            found[name] = f"{found[name]} {word}".strip()
    return found


def test_a_cpu_gets_a_small_cache_and_no_compiler(checkpoint: Checkpoint) -> None:
    found = flags(inspect(checkpoint.folder))
    assert found["--model"] == str(checkpoint.folder)
    assert int(found["--kv-cache-memory-bytes"]) < GIB
    assert "--enforce-eager" in found
    assert "--gpu-memory-utilization" not in found
    assert found["--served-model-name"] == "a-model"
    assert found["--logits-processors"] == command.NO_REPEAT
    assert json.loads(found["--limit-mm-per-prompt"]) == {"audio": 8}
    assert json.loads(found["--override-generation-config"]) == {"temperature": 0.0}
    assert "Follow the text instruction" in found["--chat-template"]


def test_nothing_that_is_said_is_written_down(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = inspect(checkpoint.folder)
    found = flags(report)
    assert {"--no-enable-log-requests", "--no-enable-log-outputs", "--no-log-error-stack"} <= found.keys()
    options = read(["a-model"])
    decided = plan(SMALL, Model.of(report, "a-model"), options, "cpu")
    given = {
        "VLLM_DEBUG_LOG_API_SERVER_RESPONSE": "1",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_LOGGING_LEVEL": "debug",
    }
    assert not given.keys() & command.environment(decided, given, Path("/tmp")).keys()
    assert command.environment(decided, {"VLLM_LOGGING_LEVEL": "ERROR"}, Path("/tmp"))["VLLM_LOGGING_LEVEL"]


def test_traces_are_sent_where_that_is_said_and_can_be_done() -> None:
    able, unable = (Interpreter(Path("python"), "cpu", "0.32.0", has) for has in (True, False))
    assert traces.arguments("", able) == ((), None)
    sent, said = traces.arguments("http://127.0.0.1:4318/", able)
    assert sent == ("--otlp-traces-endpoint", "http://127.0.0.1:4318/v1/traces")
    assert "MERALION_OTLP_ENDPOINT" in str(said)
    sent, said = traces.arguments("http://127.0.0.1:4318", unable)
    assert sent == () and "opentelemetry-exporter-otlp" in str(said)


def test_a_gpu_gets_an_attention_that_caps(checkpoint: Checkpoint) -> None:
    found = flags(inspect(checkpoint.folder), "gpu", "--quantization", "fp8", "--places", "4")
    assert (found["--attention-backend"], found["--gpu-memory-utilization"]) == ("FLASHINFER", "0.9")
    assert (found["--quantization"], found["--max-num-seqs"]) == ("fp8", "4")
    assert "--enforce-eager" not in found and "--kv-cache-memory-bytes" not in found


def test_no_guard_for_a_model_that_does_not_ask_for_it(checkpoint: Checkpoint) -> None:
    checkpoint.config |= {"model_type": "meralion_audiollm", "architectures": [], "speech_adapter": "gated"}
    checkpoint.write()
    assert "--logits-processors" not in flags(inspect(checkpoint.folder))


def test_what_follows_the_dashes_comes_last_and_so_wins(checkpoint: Checkpoint) -> None:
    assert (
        flags(inspect(checkpoint.folder), "cpu", "--", "--seed", "7", "--dtype", "half")["--dtype"] == "half"
    )
    assert read(["m", "--port", "0", "--", "--seed", "1"]) == Options("m", port=0, further=("--seed", "1"))


@pytest.mark.parametrize(
    "word", ["--port", "--port=1", "--hos", "--uds", "--root_path", "--ssl-keyfile", "--ssl_certfile=x"]
)
def test_where_it_listens_is_not_moved_by_vllms_flags(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        read(["m", "--", word, "1"])
    assert left.value.code == 2
    assert f"{word} cannot follow --" in capsys.readouterr().err


def test_the_environment_bounds_sound_and_asks_nobody(checkpoint: Checkpoint) -> None:
    model = Model.of(inspect(checkpoint.folder), "a-model")
    decided = plan(SMALL, model, Options("m", tensor_parallel=2), "cpu")
    found = command.environment(decided, {"VLLM_CPU_KVCACHE_SPACE": "20", "PATH": "/bin"}, Path("/meet"))
    assert "VLLM_CPU_KVCACHE_SPACE" not in found  # it would win over the plan
    assert (found["HF_HUB_OFFLINE"], found["VLLM_CPU_NUM_OF_RESERVED_CPU"]) == ("1", "0")
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == "0|1"
    assert int(found["VLLM_MAX_AUDIO_CLIP_FILESIZE_MB"]) * 2**20 >= 300 * 48_000 * 4
    assert int(found["VLLM_MAX_AUDIO_DECODE_DURATION_S"]) > 300


def test_a_decoder_brings_its_own_turns(checkpoint: Checkpoint) -> None:
    report = Report(checkpoint.folder, inspect(checkpoint.folder).layout, decoder="llama")
    (checkpoint.folder / "tokenizer_config.json").write_text('{"chat_template": "<|im_start|>OWN"}')
    assert command.chat_template(report).endswith("<|im_start|>OWN")
    (checkpoint.folder / "chat_template.jinja").write_text("<SpeechHere> is handled here already")
    assert command.chat_template(report) == "<SpeechHere> is handled here already"


@pytest.mark.skipif(not (ROOT / ".venv-vllm" / "vllm").exists(), reason="make vllm has not been run")
def test_it_says_what_it_would_do(checkpoint: Checkpoint) -> None:
    done = run(str(checkpoint.folder), "--dry-run", "--port", "0", "--places", "3")
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout)
    assert words[words.index("--max-num-seqs") + 1] == "3"
    assert words[words.index("--port") + 1] != "0"
    for line in ("licence", "numbers", "context", "KV cache", "places"):
        assert f"\n  {line}" in done.stderr


def lose_a_shard(checkpoint: Checkpoint) -> None:
    checkpoint.shard()
    (checkpoint.folder / "model-00002-of-00002.safetensors").unlink()


def wrong_bins(checkpoint: Checkpoint) -> None:
    checkpoint.preprocessor["feature_size"] = 80
    checkpoint.write()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lose_a_shard, "model-00002-of-00002.safetensors is missing; download it again."),
        (wrong_bins, "makes 80 mel bins and the encoder reads 128."),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_the_inspections_words(
    checkpoint: Checkpoint, damage: Callable[[Checkpoint], None], told: str
) -> None:
    damage(checkpoint)
    assert told in refused(str(checkpoint.folder))


@pytest.mark.skipif(not (ROOT / ".venv-vllm" / "vllm").exists(), reason="make vllm has not been run")
def test_a_taken_port_is_refused(checkpoint: Checkpoint) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(str(checkpoint.folder), "--port", str(port))
    assert said.startswith(f"Port {port} of 127.0.0.1 cannot be used: Address already in use.")


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    assert f"Did you mean {CASCADE}?" in refused("whisper-base-smollm")
    assert "cannot be read" in refused("x", MERALION_MODELS=str(tmp_path / "none.toml"))


def test_a_row_of_the_registry_names_a_folder_or_a_hub_id(tmp_path: Path, checkpoint: Checkpoint) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        f'[ours]\nengine = "vllm"\nhub_id = "{checkpoint.folder}"\n'
        '[theirs]\nengine = "vllm"\nhub_id = "somebody/a-model"\nlicence = "Theirs v2"\n'
        '[api]\nengine = "openai"\n[empty]\nengine = "vllm"\n'
    )
    checkpoint.preprocessor["feature_size"] = 80  # so that it is found and not started
    checkpoint.write()
    registry = {"MERALION_MODELS": str(file), "XDG_CACHE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    assert "80 mel bins" in refused("ours", **registry)
    said = refused("theirs", **registry)
    assert "Its licence is: Theirs v2." in said and "--download" in said
    assert "runs elsewhere" in refused("api", **registry)
    assert "no `hub_id`" in refused("empty", **registry)


def test_a_published_model_is_not_fetched_without_a_word(tmp_path: Path) -> None:
    home = {"XDG_CACHE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    said = refused("MERaLiON/MERaLiON-2-3B", **home)
    assert "nothing is downloaded without your say" in said
    assert "MERaLiON Public Licence v3" in said
    said = refused("MERaLiON/MERaLiON-2-3B", "--download", **home)  # HF_HUB_OFFLINE is set
    assert "HF_HUB_OFFLINE" in said


def test_each_revision_has_its_own_folder(tmp_path: Path, checkpoint: Checkpoint) -> None:
    downloads = tmp_path / "meralion-demo" / "checkpoints"
    downloads.mkdir(parents=True)
    checkpoint.folder.rename(downloads / "somebody--a-model")
    file = tmp_path / "models.toml"
    row = '[it]\nengine = "vllm"\nhub_id = "somebody/a-model"\n'
    home = {"MERALION_MODELS": str(file), "XDG_CACHE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    file.write_text(row + 'revision = "refs/pr/1"\n')
    assert "somebody/a-model is not on this machine" in refused("it", **home)
    (downloads / "somebody--a-model").rename(downloads / "somebody--a-model@refs--pr--1")
    assert "is not on this machine" not in run("it", "--dry-run", **home).stderr
    file.write_text(row)
    assert "somebody/a-model is not on this machine" in refused("it", **home)


def test_a_part_of_a_checkpoint_in_the_hubs_cache_does_not_count(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = lambda *_, **__: str(checkpoint.folder)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert models.find("MERaLiON/MERaLiON-2-3B", fetch=False).folder == checkpoint.folder
    lose_a_shard(checkpoint)
    with pytest.raises(Refused, match="is not on this machine"):
        models.find("MERaLiON/MERaLiON-2-3B", fetch=False)


def test_what_ships_of_a_small_audio_model_is_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the id of the demo's own, whose row is for the embedded engine; by a folder; not a row of vLLM's."""
    shipped = mini.ship(tmp_path / "mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(models, "WEIGHTS", shipped)
    registry = tmp_path / "models.toml"
    monkeypatch.setenv("MERALION_MODELS", str(registry))
    registry.write_text('[meralion-mini]\nengine = "embedded"\n')
    found = models.find(MINI_ID, fetch=False)
    assert found.name == MINI_ID and found.folder is not None
    assert found.folder.is_relative_to(tmp_path / "meralion-demo" / "assembled")
    assert models.find(str(shipped), fetch=False) == models.Target("mine", found.folder)

    told = flags(inspect(found.folder))
    assert told["--logits-processors"] == command.NO_REPEAT
    decided = plan(SMALL, Model.of(inspect(found.folder), MINI_ID), Options(MINI_ID), "cpu")
    said = [str(choice) for choice in decided.choices]
    assert "  guard      no 6 tokens twice: meralion-mini was made for it" in said
    assert any(line.startswith("  answers    8 tokens, and 1 for each second of sound") for line in said)

    (tmp_path / "other").mkdir()
    registry.write_text(f'[meralion-mini]\nengine = "vllm"\nhub_id = "{tmp_path / "other"}"\n')
    assert models.find(MINI_ID, fetch=False).folder == tmp_path / "other"
    (shipped / "model.safetensors").unlink()
    with pytest.raises(Refused, match=r"model\.safetensors cannot be read"):
        models.find(str(shipped), fetch=False)


def test_how_answers_are_written_is_checked(checkpoint: Checkpoint) -> None:
    checkpoint.config["answers"] = {"end_tokens": [2], "most_tokens": 0}
    checkpoint.write()
    assert "answers.most_tokens in its config.json: Input should be greater" in refused(
        str(checkpoint.folder)
    )


def test_a_home_that_nobody_has() -> None:
    assert "begins with the home of a user" in refused("~nobody-of-this-name/x")


def test_a_decoder_that_names_its_sizes_otherwise_is_refused(checkpoint: Checkpoint) -> None:
    names = {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 12, "n_positions": 1_024}
    checkpoint.config["text_config"] = {**names, "vocab_size": 40}
    checkpoint.write()
    said = refused(str(checkpoint.folder), "--dry-run")
    assert "lacks num_hidden_layers, num_attention_heads, max_position_embeddings, hidden_size" in said


def test_an_embedded_row_is_the_embedded_engine() -> None:
    done = run(CASCADE, "--port", "0", "--dry-run")
    assert shlex.split(done.stdout)[1:] == ["-m", "model.embedded", "--host", "127.0.0.1", "--port", "0"]
