"""The audio LLM in NumPy: encoder -> LayerNorm -> adapter -> decoder, as `model.modeling` has it (section 3).

    model, config, words = AudioLLM.load(folder, cache)
    logits = model.score(ids, [model.speech_embeddings(mel) for mel in mel.windows(pcm, tail=config.tail)])

Weights are shared and only read, so several answers can be written at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.checkpoints.ctranslate2_file import whisper_encoder
from model.embedded import weights
from model.layouts import AdapterKind
from model.mini import gguf_file, shipped
from model.mini.adapter import KINDS
from model.mini.decoder import ROWS_AT_ONCE, Cache, Decoder, DecoderSizes
from model.mini.encoder import Encoder, EncoderSizes
from model.mini.functional import Array, layer_norm
from model.mini.gguf_file import GgufFile, Llama
from model.mini.shipped import Merged, Shipped
from model.mini.tensors import ModelError, Tensors
from model.mini.threads import Threads
from model.mini.tokenizer import Words

EMBEDDING = "model.embed_tokens.weight"
VOCABULARY_STEP = 64  # as `model.checkpoints.convert`: the vocabulary with `<SpeechHere>` is a multiple of it


@dataclass(frozen=True)
class Parts:
    """A model's weights by part, named as in a checkpoint without the part's own prefix."""

    encoder: Tensors  # as `WhisperModel.encoder`
    own: Tensors  # ln_speech and speech_audio_adapter
    decoder: Tensors  # as `LlamaForCausalLM`, with `<SpeechHere>` in its vocabulary


@dataclass(frozen=True)
class Sizes:
    """What a model's weights do not say themselves."""

    encoder: EncoderSizes
    decoder: DecoderSizes
    adapter: AdapterKind
    stack: int
    speech_token: int


@dataclass(frozen=True)
class Whole:
    """A shipped model over the packaged weights, before it is put together."""

    config: Shipped
    sizes: Sizes
    parts: Parts
    words: Words
    decoder: GgufFile  # what the packaged decoder says of itself


class AudioLLM:
    """Reads text with `<SpeechHere>` places and the speech embeddings that fill them; gives logits."""

    def __init__(self, sizes: Sizes, parts: Parts, threads: int = 1) -> None:
        """Take the weights. Raises ModelError where one is missing or of another shape."""
        width, hidden = sizes.encoder.width, sizes.decoder.width
        self.speech_token = sizes.speech_token
        self.mel_bins = sizes.encoder.mel_bins
        shared = Threads(threads)
        self._encoder = Encoder(sizes.encoder, parts.encoder, shared)
        self._norm = parts.own.norm("ln_speech", width)
        adapter = parts.own.below("speech_audio_adapter.")
        self._adapter = KINDS[sizes.adapter](width, sizes.stack, hidden, adapter)
        self.decoder = Decoder(sizes.decoder, parts.decoder, shared)

    @classmethod
    def load(cls, folder: Path, cache: Path, threads: int = 1) -> tuple[AudioLLM, Shipped, Words]:
        """A shipped model over the packaged weights, what its config says, and its tokenizer.

        Raises ModelError and WeightsError as `read` does.
        """
        found = read(folder, cache)
        return cls(found.sizes, found.parts, threads), found.config, found.words

    def speech_embeddings(self, mel: Array) -> Array:
        """A mel window [mel_bins, frames] of at most 3,000 to embeddings [frames / 2 / stack, hidden]."""
        return self._adapter(layer_norm(self._encoder.encode(mel), *self._norm))

    def input_embeddings(self, ids: Sequence[int], speech: Sequence[Array]) -> Array:
        """Embeddings [tokens, hidden] of text with its speech put in, windows in reading order.

        Raises ValueError unless there are exactly as many places as the windows fill.
        """
        embeddings = self.decoder.embed(list(ids))
        places = np.asarray(ids) == self.speech_token
        filled = sum(map(len, speech))
        if int(places.sum()) != filled:
            raise ValueError(f"The prompt has {places.sum()} audio places and the audio fills {filled}.")
        if speech:
            embeddings[places] = np.concatenate(speech)
        return embeddings

    def prefill(self, embeddings: Array, cache: Cache) -> Iterator[Array]:
        """Read a prompt, some rows at a time: the states [rows, hidden] of each."""
        for start in range(0, len(embeddings), ROWS_AT_ONCE):
            yield self.decoder.forward(embeddings[start : start + ROWS_AT_ONCE].copy(), cache)

    def next_logits(self, id_: int, cache: Cache) -> Array:
        """Logits [vocabulary] of what follows a token."""
        return self.decoder.logits(self.decoder.forward(self.decoder.embed([id_]), cache)[-1])

    def score(self, ids: Sequence[int], speech: Sequence[Array]) -> Array:
        """Logits [tokens, vocabulary] of what follows each token of a text."""
        states = list(self.prefill(self.input_embeddings(ids, speech), Cache(self.decoder.sizes, len(ids))))
        return self.decoder.logits(np.concatenate(states))


def read(folder: Path, cache: Path) -> Whole:
    """A shipped folder and the packaged weights under it, LoRA merged as a weight is taken.

    `cache` is where Whisper's parts are joined. Raises ModelError, and WeightsError where a package is
    missing or damaged.
    """
    config, values = shipped.read(folder)
    config.check_packages()
    own = Tensors(values, str(folder))
    whisper = weights.assemble(weights.WHISPER_MODEL, cache / "whisper-base")
    file = gguf_file.read(weights.text_model())
    words = Words.of(file, config.turn)
    decoder = WithSpeechToken(Llama(file), words.speech)
    merged = Merged(decoder, config.lora, own.below("text_decoder."))
    encoder = whisper_encoder(whisper) | dict(own.below("speech_encoder.").all())  # some layers may be tuned
    parts = Parts(Tensors(encoder, str(whisper)), own, Tensors(merged, str(file.path)))
    of_decoder = decoder_sizes(file.metadata, decoder.rows)
    sizes = Sizes(EncoderSizes(), of_decoder, config.adapter, config.stack, words.speech)
    return Whole(config, sizes, parts, words, file)


class WithSpeechToken(Mapping[str, Array]):
    """A decoder's weights with embeddings of `<SpeechHere>` and beyond: the mean of the others."""

    def __init__(self, decoder: Mapping[str, Array], speech_token: int) -> None:
        """`speech_token` is the first id after the decoder's own."""
        self._decoder = decoder
        self.rows = -(-(speech_token + 1) // VOCABULARY_STEP) * VOCABULARY_STEP

    def __getitem__(self, name: str) -> Array:
        value = self._decoder[name]
        if name != EMBEDDING:
            return value
        mean = value.mean(0, keepdims=True, dtype=np.float64).astype(np.float32)
        return np.concatenate([value, mean.repeat(self.rows - len(value), axis=0)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoder)

    def __len__(self) -> int:
        return len(self._decoder)


def decoder_sizes(metadata: Mapping[str, Any], vocabulary: int) -> DecoderSizes:
    """A Llama's sizes from its GGUF file's metadata. Raises ModelError where one is missing."""
    try:
        width, heads = (metadata[f"llama.{key}"] for key in ("embedding_length", "attention.head_count"))
        return DecoderSizes(
            vocabulary,
            width,
            metadata["llama.block_count"],
            heads,
            metadata["llama.attention.head_count_kv"],
            width // heads,
            metadata["llama.feed_forward_length"],
            metadata["llama.rope.freq_base"],
            metadata["llama.attention.layer_norm_rms_epsilon"],
            metadata["llama.context_length"],
        )
    except KeyError as error:
        raise ModelError(f"The GGUF file does not say {error}. Install its package anew.") from error
