"""Whether the tensors of a checkpoint are those that its config.json describes."""

from __future__ import annotations

from typing import Any

from model.checkpoints import shapes
from model.checkpoints.safetensors_headers import Tensor
from model.checkpoints.shapes import Shapes, Sizes
from model.layouts import AdapterKind, Layout

MOST_DIGITS = 9
LAST_LAYERS = (3, 2)  # where v1's last layer stands, with and without the dropout before it


def weight_problems(
    tensors: dict[str, Tensor],
    sizes: Sizes,
    config: dict[str, Any],
    layout: Layout | None,
    kind: AdapterKind | None,
    notes: list[str],
) -> list[str]:
    """Tensors that are missing or have another shape than config.json says.

    A quantised decoder's tensors have names and shapes of their own, which vLLM knows; they are left to it.
    """
    problems: list[str] = []
    quantised = bool(quantisation(config))
    expected = shapes.encoder(sizes) | ({} if quantised else shapes.decoder(sizes))
    optional: Shapes = {}
    if kind is None:
        problems.append(_unknown_adapter(tensors))
    else:
        names = tensors.keys()
        last = next(
            (n for n in LAST_LAYERS if f"speech_audio_adapter.speech_llm_proj.{n}.weight" in names), 3
        )
        weights = shapes.adapter(sizes, kind, last)
        expected |= weights
        optional = shapes.adapter_biases(weights)
        said = config.get("speech_adapter") or (layout.adapter if layout else kind)
        if said != kind:
            problems.append(
                f"The weights hold the {kind} adapter and config.json means the {said} one. "
                f'Write "speech_adapter": "{kind}" into config.json, if both are of the same release.'
            )
    if sizes.tied and "vocab_size" in sizes.text and "hidden_size" in sizes.text:
        optional["text_decoder.lm_head.weight"] = (sizes.text["vocab_size"], sizes.text["hidden_size"])
    for prefix, what, field_, count in (
        (
            "speech_encoder.layers.",
            "encoder",
            "speech_config.encoder_layers",
            sizes.encoder["encoder_layers"],
        ),
        ("text_decoder.model.layers.", "decoder", "text_config.num_hidden_layers", _layers(sizes)),
    ):
        held = _count_layers(tensors, prefix)
        if count is not None and held != count:
            problems.append(
                f"The weights hold {held} {what} layers and config.json says {count} ({field_}). "
                "Take config.json and weights from the same release."
            )
            expected = {
                name: shape
                for name, shape in expected.items()
                if not name.startswith(prefix) or int(name.split(".")[prefix.count(".")]) < min(held, count)
            }
    problems += [
        f"{name} has the shape {_shape(tensors[name].shape)}; config.json asks for {_shape(shape)}. "
        "Take config.json and weights from the same release."
        for name, shape in {**expected, **optional}.items()
        if name in tensors and tensors[name].shape != shape
    ]
    problems += [
        f"The weights lack {name} of the shape {_shape(shape)}. Download them again."
        for name, shape in expected.items()
        if name not in tensors
    ]
    known_decoder = sizes.decoder in shapes.DECODER_NORMS and not quantised
    extra = [
        name
        for name in tensors
        if name not in expected
        and name not in optional
        and (known_decoder or not name.startswith("text_decoder."))
    ]
    if extra and not problems:
        notes.append(f"{extra[0]}{and_more(len(extra) - 1)} is not part of the model and is left out.")
    return problems


def _layers(sizes: Sizes) -> int | None:
    found: int | None = sizes.text.get("num_hidden_layers")
    return found


def _count_layers(tensors: dict[str, Tensor], prefix: str) -> int:
    numbers = {name[len(prefix) :].split(".")[0] for name in tensors if name.startswith(prefix)}
    return max((int(number) + 1 for number in numbers if is_number(number)), default=0)


def is_number(text: str) -> bool:
    """Whether a part of a name is a number, and not of thousands of digits, which Python does not read."""
    return text.isdecimal() and len(text) <= MOST_DIGITS


def _unknown_adapter(tensors: dict[str, Tensor]) -> str:
    names = sorted(name for name in tensors if name.startswith("speech_audio_adapter."))
    held = f"{names[0]}{and_more(len(names) - 1)}" if names else "nothing of the adapter"
    return (
        "The adapter is of a kind that is not known: neither gate_proj nor speech_llm_proj is there, "
        f"the weights hold {held}. Only MLP (v1) and gated (-2, -3) adapters can be served."
    )


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def and_more(count: int) -> str:
    """What follows an example, where there are others."""
    return f" (and {count:,} more)" if count else ""


def quantisation(config: dict[str, Any]) -> str:
    """How the weights are quantised, such as "compressed-tensors"; empty where they are not."""
    said = config.get("quantization_config")
    if not isinstance(said, dict):
        return ""
    method = said.get("quant_method")
    return method if isinstance(method, str) and method else "unknown"
