"""A run goes on from what ships: every number of it is in place; what does not fit is refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.speech import ROOT
from tests.training import tiny_mini, tiny_whisper
from tests.training.tiny import write
from training.audiollm_trainer import WEIGHTS
from training.config import load
from training.data import schema
from training.errors import ConfigError
from training.features import of_run
from training.from_shipped import FIRST, LORA, shipped_tensors_of
from training.listen import listen
from training.mini import mini
from training.mini_config import MiniRun
from training.warm_up import ADAPTER, warm_up

SHIPPED = ROOT / "model/mini/weights"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def settings(folder: Path, shipped: Path) -> dict[str, Any]:
    """A run of two steps that learn nothing."""
    still = {"peak_lr": 0.0, "adapter_lr": 0.0, "encoder_lr": 0.0}
    steps = {"schedule": {"steps": 1, "warmup": 0}, "every": {"log": 1, "eval": 9, "save": 9, "keep": 1}}
    found = tiny_mini.settings(
        folder, "packaged:whisper-base", Path("packaged"), warm_up={"optimiser": still, "batch": 2, **steps}
    )
    found["features"] |= {"short": True, "precision": "bf16"}
    found["listen"]["model"] |= {"decoder": "packaged:smollm2", "layout": "open", "adapter": "mlp"}
    found["listen"] |= {"optimiser": still, "batch": {"size": 2, "per_device": 2}, **steps}
    found["listen"]["lora"] = {"rank": 8, "alpha": 32, "dropout": 0.0, "targets": TARGETS}
    return found | {"shipped": str(shipped), "tuned_layers": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few clips of people, as both corpora."""
    folder = tmp_path_factory.mktemp("shipped")
    tiny_whisper.corpus(folder / "corpus")
    rows = schema.read_shard(folder / "corpus/dev/0.parquet").to_pylist()
    for corpus, split in (("corpus", "train"), ("corpus", "dev"), ("human", "dev"), ("human", "test")):
        schema.write_shard(folder / corpus / split / "0.parquet", rows[1:4])
    return folder


@pytest.mark.slow
def test_a_run_goes_on_from_what_ships(folder: Path) -> None:
    run = load(MiniRun, write(folder / "mini.yaml", settings(folder, SHIPPED)))
    shipped = load_file(SHIPPED / "model.safetensors")
    of_run(run)
    warm_up(run)
    listen(run)
    ear = load_file(run.warm_up.run / ADAPTER)
    assert set(ear) == {name for name in shipped if LORA not in name}
    trained = load_file(next(run.listen.run.glob("checkpoint-*")) / WEIGHTS)
    for name, value in shipped.items():
        own = name.removesuffix(".weight") + ".default.weight" if LORA in name else name
        assert own in trained or name.startswith("speech_encoder.")
        for tensors in (ear, trained):
            if own in tensors:
                assert torch.equal(tensors[own], value.float()), name


def test_a_longer_stride_begins_with_the_mean_of_its_parts(folder: Path) -> None:
    path = write(folder / "stride.yaml", settings(folder, SHIPPED))
    five, fifteen = (
        shipped_tensors_of(load(MiniRun, path, [f"listen.model.stack={stack}"])) for stack in (5, 15)
    )
    states = torch.randn(15, 512, generator=torch.Generator().manual_seed(0))
    parts = (states.reshape(3, 5 * 512) @ five[FIRST].T).mean(0)
    torch.testing.assert_close(states.reshape(15 * 512) @ fifteen[FIRST].T, parts, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(five[name], fifteen[name]) for name in five.keys() - {FIRST})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("listen.lora.rank=4", r"listen\.lora\.rank is 4, and what ships in .* has 8"),
        ("listen.model.stack=3", r"listen\.model\.stack is 3, and what ships in .* has 5.*multiple"),
        ("tuned_layers=0", "tuned_layers is 0, and what ships in .* has 2"),
        ("features.short=false", r"features\.tail is None"),
        ("listen.model.encoder=some/whisper", r"listen\.model\.encoder is None"),
        ("shipped=nowhere", "shipped: .*nowhere/config.json cannot be read"),
        ("listen.model.trained_weights=x", "both say what to go on from"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(folder: Path, changed: str, said: str) -> None:
    path = write(folder / "refused.yaml", settings(folder, SHIPPED))
    with pytest.raises(ConfigError, match=said):
        mini(
            load(MiniRun, path, [changed, f"listen.run={folder / 'refused'}", f"warm_up.run={folder / 'no'}"])
        )


def test_what_ships_without_its_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(SHIPPED, tmp_path / "shipped")
    tensors = load_file(own / "model.safetensors")
    del tensors[FIRST]
    save_file(tensors, own / "model.safetensors")
    with pytest.raises(ConfigError, match="has no speech_audio_adapter"):
        shipped_tensors_of(load(MiniRun, write(tmp_path / "mini.yaml", settings(folder, own))))


def test_weights_that_were_trained_over_others_are_refused(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(SHIPPED, tmp_path / "shipped")
    said = json.loads((own / "config.json").read_text())
    said["decoder"]["sha256"] = "0" * 64
    (own / "config.json").write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="was trained over another smollm2"):
        shipped_tensors_of(load(MiniRun, write(tmp_path / "mini.yaml", settings(folder, own))))
