"""The small audio LLM in NumPy gives the log-probs of the one in torch, part by part and as it is shipped."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import NoRepeatNGramLogitsProcessor

from model import adapter
from model.checkpoints.build import DECODERS, PRESETS, random_model
from model.embedded import weights
from model.embedded.answer import Turn
from model.embedded.intents import Task
from model.layouts import AdapterKind
from model.mini import gguf_file, mel, shipped
from model.mini.audio_llm import AudioLLM, Parts, Sizes, WithSpeechToken, decoder_sizes
from model.mini.decoder import Cache, DecoderSizes
from model.mini.encoder import EncoderSizes
from model.mini.functional import log_softmax
from model.mini.gguf_file import Llama
from model.mini.no_repeat import NoRepeat
from model.mini.tensors import Tensors
from model.mini.tokenizer import Words
from model.prompts import TRANSCRIBE
from tests.training import tiny
from training import config as configs
from training.audiollm_config import AudioLLMRun, LoraConfig
from training.build_model import Built, build
from training.errors import ConfigError
from training.errors import run as run_command
from training.lora import add_lora
from training.parts import load_encoder
from training.run_folder import CONFIG, mark_whole
from training.ship import main, may_repeat, ship, shipped_tensors, tuned, write

VOCABULARY = 512
SPEECH = VOCABULARY - 1
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA = LoraConfig(rank=4, alpha=16, dropout=0.0, targets=PROJECTIONS)
CLOSE = 1e-4
TUNED = ("layers.5.fc1.bias", "layers.5.fc2.bias", "layer_norm.bias")


def tiny_model(adapter: AdapterKind, stack: int, seed: int) -> Any:
    """A random model in torch with LoRA in its decoder."""
    preset = PRESETS["tiny"]
    text = {**DECODERS["llama"], **preset.decoder, "model_type": "llama", "tie_word_embeddings": True}
    text.pop("sliding_window")
    content = {
        "model_type": "meralion_audiollm",
        "speech_config": {**preset.encoder, "num_mel_bins": 80, "model_type": "whisper"},
        "text_config": text | {"vocab_size": VOCABULARY, "pad_token_id": 0},
        "speech_adapter": adapter,
        "speech_mlp_scale_factor": stack,
        "speech_token_index": SPEECH,
    }
    model = random_model(content, seed).eval()
    torch.manual_seed(seed)
    add_lora(model.text_decoder, LORA)
    randomise(model)
    return model


def randomise(model: Any) -> None:
    """LoRA's B, which begins as zero, becomes what it could have been trained to."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".lora_B." in name:
                value.copy_(0.02 * torch.randn(value.shape))


def as_numpy(model: Any, threads: int = 1) -> AudioLLM:
    """The same model in NumPy: the frozen weights, and what would be shipped."""
    state = {name.replace(".base_layer.", "."): value.numpy() for name, value in model.state_dict().items()}
    own = Tensors({name: value.numpy() for name, value in shipped_tensors(model).items()}, "what is shipped")
    decoder = {name.removeprefix("text_decoder."): value for name, value in state.items()}
    lora = shipped.Lora.model_validate({"rank": LORA.rank, "alpha": LORA.alpha, "targets": LORA.targets})
    merged = shipped.Merged(decoder, lora, own.below("text_decoder."))
    parts = Parts(Tensors(state, "the model", "speech_encoder."), own, Tensors(merged, "the model"))
    text, speech = model.config.text_config, model.config.speech_config
    sizes = Sizes(
        EncoderSizes(
            speech.d_model,
            speech.encoder_layers,
            speech.encoder_attention_heads,
            speech.encoder_ffn_dim,
            speech.num_mel_bins,
        ),
        DecoderSizes(
            text.vocab_size,
            text.hidden_size,
            text.num_hidden_layers,
            text.num_attention_heads,
            text.num_key_value_heads,
            text.head_dim,
            text.intermediate_size,
            text.rope_parameters["rope_theta"],
            text.rms_norm_eps,
        ),
        model.config.adapter_kind,
        model.config.speech_mlp_scale_factor,
        model.config.speech_token_index,
    )
    return AudioLLM(sizes, parts, threads)


def log_probs(model: Any, ids: list[int], windows: Any, states: Any) -> Any:
    """Torch's log-probs [tokens, vocabulary] after each token; `states` of each window are heard."""
    features, heard = torch.tensor(np.stack(windows), dtype=model.dtype), torch.as_tensor(states)
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids]), input_features=features, window_states=heard)
    return found.logits[0].log_softmax(-1).numpy()


@pytest.mark.parametrize(
    ("adapter", "stack", "last", "threads"),
    [("mlp", 5, 1_500, 1), ("mlp", 15, 345, 2), ("gated", 5, 15, 2), ("gated", 15, 1_500, 3)],
)
def test_log_probs_are_those_of_torch(adapter: AdapterKind, stack: int, last: int, threads: int) -> None:
    """Two windows, of the last of which `last` states are heard.

    So many tokens that the prompt is read in more than one step where the stack is 5.
    """
    seed = stack + threads
    model = tiny_model(adapter, stack, seed)
    ours = as_numpy(model, threads)
    random = np.random.default_rng(seed)
    windows = [random.standard_normal((80, 3_000)).astype(np.float32) for _ in range(2)]
    places = [SPEECH] * ((1_500 + last) // stack)
    words = random.integers(0, SPEECH, 40).tolist()
    ids = [*words[:10], *places, *words[10:]]
    expected = log_probs(model, ids, windows, [1_500, last])
    exact = log_probs(model.double(), ids, windows, [1_500, last])
    windows[1] = windows[1][:, : 2 * last]
    found = log_softmax(ours.score(ids, [ours.speech_embeddings(window) for window in windows]))
    # What float32 can hold of them: torch in float32 is as far from float64, so the two may be further apart.
    assert np.allclose(found, exact, rtol=1e-5, atol=CLOSE)
    assert np.ptp(expected.argmax(-1)) > 0  # answers depend on what is read
    deaf = log_softmax(ours.score(ids, [ours.speech_embeddings(window * 0) for window in windows]))
    assert np.abs(deaf[-1] - expected[-1]).max() > 100 * CLOSE  # and on what is heard


def test_the_number_of_threads_changes_no_bit() -> None:
    model = tiny_model("mlp", 5, 6)
    random = np.random.default_rng(6)
    window = random.standard_normal((80, 3_000)).astype(np.float32)
    ids = [*random.integers(0, SPEECH, 150).tolist(), *[SPEECH] * 300]
    one, three = (
        ours.score(ids, [ours.speech_embeddings(window)]) for ours in (as_numpy(model), as_numpy(model, 3))
    )
    assert np.array_equal(one, three)


def test_digits_and_marks_of_who_speaks_may_be_said_again(run: tuple[AudioLLMRun, Built]) -> None:
    tokenizer = run[1].processor.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(list(may_repeat(tokenizer)))
    assert {*tokens} == {*"0123456789", "<", "Ġ<", "Spe", "aker", ">", ":"}


def test_a_token_at_a_time_gives_what_a_whole_text_gives() -> None:
    ours = as_numpy(tiny_model("mlp", 15, 4))
    ids = np.random.default_rng(4).integers(0, SPEECH, 20).tolist()
    cache = Cache(ours.decoder.sizes, 20)
    one_by_one = np.stack([ours.next_logits(id_, cache) for id_ in ids])
    assert np.abs(one_by_one - ours.score(ids, [])).max() < CLOSE


def test_the_guard_is_transformers_guard() -> None:
    random = np.random.default_rng(0)
    for size in (2, 3, 6):
        tokens = random.integers(0, 3, 60).tolist()
        guard, theirs = NoRepeat(size, tokens[:10]), NoRepeatNGramLogitsProcessor(size)
        for at in range(10, 60):
            scores = theirs(torch.tensor([tokens[:at]]), torch.zeros(1, 3))
            assert sorted(set(guard.banned())) == torch.isinf(scores[0]).nonzero().flatten().tolist()
            guard.add(tokens[at])


# The packaged weights, as training put them together.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[AudioLLMRun, Built]:
    """A run over the packaged weights as if it had trained: adapter, LoRA and a layer's biases are random."""
    encoder = load_encoder("packaged:whisper-base").model.state_dict()
    warmed = {f"speech_encoder.{name}": encoder[name] + 0.1 for name in TUNED}
    path = tmp_path_factory.mktemp("warmed") / "adapter.safetensors"
    fresh = adapter.build("mlp", 512, 15, 576).state_dict()
    warmed |= {f"speech_audio_adapter.{name}": value for name, value in fresh.items()}
    warmed |= {f"ln_speech.{name}": value for name, value in torch.nn.LayerNorm(512).state_dict().items()}
    save_file(warmed, path)
    values = {
        "run": "runs/mini",
        "model": {
            "encoder": "packaged:whisper-base",
            "decoder": "packaged:smollm2",
            "stack": 15,
            "tail": 50,
            "train_encoder": False,
            "adapter_weights": str(path),
        },
        "data": {"train": "corpora/mini"},
        "lora": {"targets": list(PROJECTIONS)},
        "schedule": {"steps": 1, "warmup": 0},
        "batch": {"size": 1, "per_device": 1},
        "compute": {"precision": "fp32"},
    }
    config = configs.parse(AudioLLMRun, values, "test")
    built = build(config)
    randomise(built.model)
    built.model.eval()
    return config, built


def test_a_shipped_run_answers_as_the_trained_model(run: tuple[AudioLLMRun, Built], tmp_path: Path) -> None:
    """From sound and messages to log-probs, over the real weights, on either side by its own means."""
    config, built = run
    measured = shipped.Measured(tasks=(Task.TRANSCRIBE, Task.ANSWER))
    write(tmp_path, config, built, "float32", "Random", measured)
    ours, said, words = AudioLLM.load(tmp_path, weights.default_cache())
    assert (said.measured, said.title) == (measured, "Random")
    assert said.generation.end_tokens == tuple(built.stops)

    pcm = tiny.pcm("st-weather")[:80_000]
    content = [{"type": "input_audio"}, {"type": "text", "text": TRANSCRIBE}]
    text = built.processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    batch = built.processor(text, pcm)
    prompt = words.prompt([Turn("user", TRANSCRIBE, (pcm,))])
    ids = words.ids(prompt, [said.tokens_of(pcm.size)])
    assert (prompt, ids) == (text, batch["input_ids"][0].tolist())

    answer = words.ids("Good evening, here is the weather.", ())
    windows = mel.windows(pcm, tail=said.tail)
    heard = batch["window_states"]
    assert heard.tolist() == [300]  # 5 s, and 1 s more
    assert np.abs(windows[0] - batch["input_features"][0, :, :600]).max() < CLOSE
    expected = log_probs(built.model, ids + answer, batch["input_features"], heard)[len(ids) - 1 :]
    scored = ours.score(ids + answer, [ours.speech_embeddings(window) for window in windows])
    assert np.abs(log_softmax(scored[len(ids) - 1 :]) - expected).max() < 1e-3


def test_half_precision_is_10_mb(run: tuple[AudioLLMRun, Built], tmp_path: Path) -> None:
    write(tmp_path, *run, "float16", "Random", shipped.Measured())
    assert 8e6 < (tmp_path / shipped.WEIGHTS).stat().st_size < 25e6
    _, half = shipped.read(tmp_path)
    assert {name for name in half if name.startswith("speech_encoder.")} == tuned(run[0]) != set()
    for name, value in shipped_tensors(run[1].model, tuned(run[0])).items():
        assert np.allclose(half[name], value.numpy(), rtol=1e-3, atol=1e-6), name


def test_the_gguf_file_is_read_as_transformers_reads_it(run: tuple[AudioLLMRun, Built]) -> None:
    file = gguf_file.read(weights.text_model())
    ours = WithSpeechToken(Llama(file), 49_152)
    theirs = {
        name.replace(".base_layer.", "."): value
        for name, value in run[1].model.text_decoder.state_dict().items()
        if ".lora_" not in name
    }
    assert set(ours) | {"lm_head.weight"} == set(theirs)
    for name in ours:
        close = 1e-6 if name == "model.embed_tokens.weight" else 0  # a mean in another order
        assert np.abs(ours[name] - theirs[name].numpy()).max() <= close, name
    config = run[1].model.config.text_config
    sizes = decoder_sizes(file.metadata, ours.rows)
    assert (sizes.vocabulary, sizes.width, sizes.layers, sizes.heads, sizes.kv_heads, sizes.head) == (
        config.vocab_size,
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
    )
    assert (sizes.feed_forward, sizes.eps, sizes.context) == (
        config.intermediate_size,
        config.rms_norm_eps,
        config.max_position_embeddings,
    )
    assert sizes.rope_theta == config.rope_parameters["rope_theta"]


def test_prompts_are_tokenised_as_by_the_processor(run: tuple[AudioLLMRun, Built]) -> None:
    built = run[1]
    words = Words.of(gguf_file.read(weights.text_model()), "context_first")
    clip = tiny.pcm("st-weather")[:16_000]
    talks = [
        [
            Turn("system", "Be brief."),
            Turn("user", "What's said?\n\n  12,000 dollars lah — 好吗? 🙂", (clip, clip)),
        ],
        [
            Turn("user", "Write <|im_end|> down.", (clip,)),
            Turn("assistant", "Naïve café…"),
            Turn("user", "And <SpeechHere> again?\n"),
        ],
        [
            Turn("user", "  ", (clip,)),
            Turn("assistant", ""),
            Turn("user", "\tdef f(x):\n    return 1", (clip,)),
        ],
    ]
    for talk in talks:
        messages = [
            {
                "role": turn.role,
                "content": [{"type": "input_audio"} for _ in turn.clips]
                + [{"type": "text", "text": turn.text}],
            }
            for turn in talk
        ]
        text = built.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        clips = [clip for turn in talk for clip in turn.clips]
        assert words.prompt(talk) == text
        lengths = [built.processor.tokens_of(clip.size) for clip in clips]
        assert words.ids(text, lengths) == built.processor(text, clips)["input_ids"][0].tolist()


def test_what_cannot_be_shipped_is_refused(
    run: tuple[AudioLLMRun, Built], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, and before anything is loaded."""
    config = run[0]
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"train_encoder": True}, "trained the encoder"),
        ({"decoder": "some/llama"}, "model.decoder was some/llama"),
        ({"checkpoint": "checkpoints/mini", "encoder": None, "decoder": None}, "was a whole checkpoint"),
    )
    for number, (model, said) in enumerate(cases):
        changed = dataclasses.replace(config, model=dataclasses.replace(config.model, **model))
        checkpoint = tmp_path / str(number) / "checkpoint-1"
        checkpoint.mkdir(parents=True)
        configs.save(changed, checkpoint / CONFIG)
        mark_whole(checkpoint)
        arguments = [str(checkpoint.parent), str(tmp_path / "out")]
        assert run_command(partial(main, arguments)) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(ConfigError, match="holds no whole checkpoint"):
        ship(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
