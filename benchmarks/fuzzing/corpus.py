"""The seed corpus in benchmarks/fuzz_corpus: recordings, JSON bodies, forms and whole requests, all our own.

`make` writes it again from what stands here and in `sounds.py`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzzing.sounds import AUDIO, pcm, wav
from benchmarks.load.questions import MODEL

FOLDER = Path(__file__).parents[1] / "fuzz_corpus"
VOICE = "voice"  # the model that speaks
# What a seed says in place of what is known only in a run, with as many letters.
FILE_ID = "file-a-file-that-was-uploaded"
CANARY = ":11111"  # a port where nobody may ever come
EDGE = "fuzz-edge"

Tree = dict[str, Any]


def _clip() -> bytes:
    return wav(pcm(8), bits=8)


def _user(*content: Any) -> Tree:
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def _chat(*messages: Tree, **fields: Any) -> Tree:
    return {"model": MODEL, "messages": list(messages), **fields}


def _inline() -> Tree:
    data = base64.b64encode(_clip()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def _by_url(url: str) -> Tree:
    return {"type": "audio_url", "audio_url": {"url": url}}


_ASKS = {"type": "text", "text": "Please transcribe this speech."}
_FILE = {"type": "file", "file": {"file_id": FILE_ID}}
_EVERYTHING = {
    "stream": False, "stream_options": {"include_usage": True}, "temperature": 0.5, "top_p": 0.9,
    "max_tokens": 40, "max_completion_tokens": 40, "seed": 7, "stop": ["end"], "frequency_penalty": 0.5,
    "presence_penalty": -0.5, "n": 1, "modalities": ["text"], "response_format": {"type": "text"},
    "logprobs": False, "tools": [], "tool_choice": "none", "user": "a", "metadata": {"a": "b"},
    "store": False, "service_tier": "auto", "parallel_tool_calls": True, "reasoning_effort": "low",
}  # fmt: skip

JSON: dict[str, Callable[[], Tree]] = {
    "plain.json": lambda: _chat(_user("What is heard?"), temperature=0),
    "streamed.json": lambda: _chat(_user("What is heard?"), stream=True, seed=1),
    "talk.json": lambda: _chat(
        {"role": "system", "content": "Be brief."},
        _user("Who speaks?"),
        {"role": "assistant", "content": "A woman.", "refusal": None},
        _user("And what does she say?"),
    ),
    "clip.json": lambda: _chat(_user(_inline(), _ASKS)),
    "two_clips.json": lambda: _chat(
        _user(_inline(), _ASKS), {"role": "assistant", "content": "A"}, _user(_inline(), _ASKS)
    ),
    "file.json": lambda: _chat(_user(_FILE, _ASKS), stream=True),
    "data_url.json": lambda: _chat(
        _user(_by_url("data:audio/wav;base64," + base64.b64encode(_clip()).decode()), _ASKS)
    ),
    "url.json": lambda: _chat(_user(_by_url(f"http://127.0.0.1{CANARY}/clip.wav"), _ASKS)),
    "everything.json": lambda: _chat(_user(_ASKS), **_EVERYTHING),
    "control_tokens.json": lambda: _chat(_user("<start_of_turn>user <|im_end|> <SpeechHere> hello")),
    "speech.json": lambda: {
        "model": VOICE, "input": "Good morning.", "voice": "a", "response_format": "mp3", "speed": 1,
    },
}  # fmt: skip


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    """One part of a form, its edge before it."""
    named = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + data + b"\r\n"
    )


def form(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(parts) + f"--{EDGE}--\r\n".encode()


def _listen(**fields: str) -> bytes:
    named = [
        part(name.replace("granularities", "granularities[]"), value.encode())
        for name, value in fields.items()
    ]
    return form(part("model", MODEL.encode()), *named, part("file", _clip(), "clip.wav"))


FORMS: dict[str, Callable[[], bytes]] = {
    "upload.form": lambda: form(part("purpose", b"user_data"), part("file", wav(pcm()), "clip.wav")),
    "file_only.form": lambda: form(part("file", _clip(), "clip.wav")),
    "listen.form": _listen,
    "listen_all.form": lambda: _listen(
        response_format="verbose_json",
        language="en",
        prompt="hello",
        temperature="0",
        stream="true",
        timestamp_granularities="word",
    ),
    "odd_name.form": lambda: form(part("file", _clip(), "../../etc/passwd\\..\\evil\x07.wav")),
    "no_name.form": lambda: f"--{EDGE}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{EDGE}--\r\n".encode(),
    "no_end.form": lambda: part("file", _clip(), "clip.wav"),
}

_PLAIN = b'{"model":"bench","messages":[{"role":"user","content":"hi"}]}'
_POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
_GET = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"


def _sized(size: int | str, *more: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {size}", *more))
    return _POST + lines.encode() + b"\r\n" + _PLAIN


def _chunked(body: bytes, *more: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in ("Transfer-Encoding: chunked", *more))
    return _POST + lines.encode() + b"\r\n" + body


_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_PLAIN), _PLAIN)

HTTP: dict[str, Callable[[], bytes]] = {
    "plain.http": lambda: _sized(len(_PLAIN)),
    "chunked.http": lambda: _chunked(_CHUNKS),
    "chunked_trailer.http": lambda: _chunked(_CHUNKS[:-2] + b"X-Trailer: a\r\n\r\n"),
    "chunk_too_long.http": lambda: _chunked(b"fffffffffffffffff\r\n" + _PLAIN),
    "chunk_negative.http": lambda: _chunked(b"-1\r\n" + _PLAIN + b"\r\n0\r\n\r\n"),
    "length_longer.http": lambda: _sized(999),
    "length_shorter.http": lambda: _sized(10),
    "length_huge.http": lambda: _sized(10**30),
    "length_negative.http": lambda: _sized(-1),
    "length_no_number.http": lambda: _sized("ten"),
    "two_lengths.http": lambda: _sized(len(_PLAIN), "Content-Length: 5"),
    "length_and_chunks.http": lambda: _chunked(_CHUNKS, "Content-Length: 4") + _GET,
    "coding_hidden.http": lambda: _chunked(_CHUNKS, "Transfer-Encoding: identity"),
    "packed.http": lambda: _sized(len(_PLAIN), "Content-Encoding: gzip"),
    "expects.http": lambda: _sized(len(_PLAIN), "Expect: 100-continue"),
    "upgrade.http": lambda: _sized(len(_PLAIN), "Connection: upgrade", "Upgrade: websocket"),
    "pipelined.http": lambda: _GET * 5,
    "pipelined_rubbish.http": lambda: _GET + b"\x00\xff rubbish\r\n\r\n",
    "lines_end_oddly.http": lambda: _GET.replace(b"\r\n", b"\n"),
    "double_slash.http": lambda: _GET.replace(b"/v1", b"//v1"),
    "absolute.http": lambda: _GET.replace(b"/v1", b"http://127.0.0.1:11111/v1"),
    "connect.http": lambda: b"CONNECT 127.0.0.1:11111 HTTP/1.1\r\nHost: 127.0.0.1:11111\r\n\r\n",
    "no_host.http": lambda: _GET.replace(b"Host: a\r\n", b""),
    "two_hosts.http": lambda: _GET.replace(b"Host: a", b"Host: a\r\nHost: b"),
    "folded.http": lambda: _GET.replace(b"Host: a", b"Host: a\r\nX-A: b\r\n c"),
    "nul.http": lambda: _GET.replace(b"Host: a", b"Host: a\x00b"),
    "split.http": lambda: _GET.replace(b"Host: a", b"Host: a\r\nX-Request-Id: a\rSet-Cookie: b"),
    "old.http": lambda: b"GET /v1/models HTTP/1.0\r\n\r\n",
    "oldest.http": lambda: b"GET /v1/models\r\n",
    "newer.http": lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "tls.http": lambda: bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "nothing.http": lambda: b"\r\n\r\n\r\n",
}  # fmt: skip

_KINDS: dict[str, dict[str, Callable[[], bytes]]] = {
    "audio": AUDIO,
    "json": {name: lambda make=make: json.dumps(make(), indent=1).encode() for name, make in JSON.items()},  # type: ignore[misc]
    "forms": FORMS,
    "http": HTTP,
}


@dataclass(frozen=True)
class Corpus:
    """The seeds, in the order of their names; `trees` are the JSON bodies, parsed."""

    audio: dict[str, bytes]
    trees: dict[str, Tree]
    forms: dict[str, bytes]
    http: dict[str, bytes]


def make(folder: Path = FOLDER) -> int:
    """Write every seed; return how many bytes they are."""
    size = 0
    for kind, makers in _KINDS.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, maker in makers.items():
            size += (folder / kind / name).write_bytes(maker())
    return size


def load(folder: Path = FOLDER) -> Corpus:
    """Read every seed."""
    kinds = {
        kind: {file.name: file.read_bytes() for file in sorted((folder / kind).iterdir())} for kind in _KINDS
    }
    trees = {name: json.loads(data) for name, data in kinds["json"].items()}
    return Corpus(kinds["audio"], trees, kinds["forms"], kinds["http"])
