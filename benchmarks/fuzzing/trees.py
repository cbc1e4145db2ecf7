"""JSON bodies made wrong: values of other kinds anywhere, extremes, unknown fields, broken text."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from benchmarks.fuzzing import mutate
from benchmarks.fuzzing.corpus import CANARY, FILE_ID, Corpus, Tree

_MOST = 4_000  # values in a body
_MOST_BYTES = 2**20  # the run takes fewer
_DEEP = "@deep@"  # where nested brackets are put once the rest is text
_CONTROL = ("<start_of_turn>", "<|im_end|>", "<SpeechHere>", "</s>", "<|im_<|im_end|>end|>", "<unused42>" * 9)
_HTML = "<script>alert(1)</script>![x](http://127.0.0.1/x.png)"
_TEXTS = (
    *("", " ", "\0", "\u200b", "\u202e", "\ud800", "\udfff", "\ud83d", "\ufffe", "\U0010ffff"),
    *("\U0001f468\u200d\U0001f469" * 3, "e" + "\u0301" * 60, "a" * 1_999, "字" * 2_001, "x " * 9_000),
    *(
        "../../etc/passwd",
        "file:///etc/passwd",
        "%00",
        "a\r\nX-Injected: b",
        "{{7*7}}",
        "' OR 1=1 --",
        "null",
    ),
    *("{instruction}", "{0.__class__}", "%s%n", FILE_ID, "file-", "en", "en-SG", "0", "-1", "1e999"),
    *_CONTROL,
    _HTML,
)
_NUMBERS = (
    *(0, -1, 1, 2, 1_000, 10**9, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**400),
    *(-0.0, 0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), 1.0000000000000002),
)
_VALUES: Sequence[Any] = (
    *_TEXTS,
    *_NUMBERS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    ["a"] * 40,
    _DEEP,
)
_UNKNOWN = (
    *("api_base", "base_url", "api_key", "extra_body", "chat_template", "add_generation_prompt"),
    *(
        "continue_final_message",
        "mm_processor_kwargs",
        "__proto__",
        "",
        "\0",
        "\ud800",
        "temprature",
        "a.b[0]",
    ),
)
_KNOWN = (
    *("model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "seed", "stop"),
    *(
        "max_completion_tokens",
        "frequency_penalty",
        "presence_penalty",
        "n",
        "modalities",
        "logprobs",
        "tools",
    ),
    *("response_format", "tool_choice", "user", "metadata", "store", "input", "voice", "speed", "verbosity"),
)
URLS = (
    f"http://127.0.0.1{CANARY}/a.wav",
    f"http://127.0.0.1{CANARY}\\@example.invalid/",
    f"http://example.invalid@127.0.0.1{CANARY}/",
    f"http://user:word@127.0.0.1{CANARY}/",
    f"HTTP://127.0.0.1{CANARY}/%0d%0aX-A:b",
    f"http://127.0.0.1{CANARY}/\r\nX-A: b",
    *(f"http://{host}{CANARY}/" for host in ("localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1")),
    *(f"http://{host}{CANARY}/" for host in ("0", "[::1]", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①", "127.0.0.1.")),
    *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fe80::1%25eth0]/", "http://"),
    *("http://[", "http://a:99999/", "https://127.0.0.1:0/", "://", "http:///etc/passwd", "//127.0.0.1/a"),
    *("file:///etc/passwd", "ftp://127.0.0.1/a.wav", "gopher://127.0.0.1/_a", "concat:/etc/passwd", "pipe:0"),
    *(
        "data:",
        "data:,",
        "data:audio/wav;base64,",
        "data:audio/wav;base64,%%%",
        "data:text/html,<b>",
        "blob:a",
    ),
    "http://127.0.0.1/" + "a" * 5_000,
)
_BASE64 = ("", "%%%", "AAAA", "AAA", "A===", "AA AA", "UklGRg==\n", "\u00e9", "=" * 100, "-_-_", "A" * 5_000)

Place = tuple[Any, Any]  # a list or an object, and the key in it


def spoilt(rng: Random, corpus: Corpus) -> tuple[str, bytes]:
    """A body from the corpus, as it is or made wrong several times, and the name of its seed."""
    name = rng.choice(list(corpus.trees))
    tree = copy.deepcopy(corpus.trees[name])
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 4))):
        rng.choice(_WAYS)(rng, tree)
    data = written(rng, tree)
    if rng.random() < 0.2:
        data = mutate.spoilt(rng, data, rng.choice((1, 1, 2, 5)))
    return name, data[:_MOST_BYTES]


def written(rng: Random, tree: Any) -> bytes:
    """JSON in one of the ways of writing it."""
    tight = rng.random() < 0.5
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.6, separators=(",", ":") if tight else None)
    data = text.encode("utf-8", "surrogatepass")
    if f'"{_DEEP}"' in text:
        data = data.replace(f'"{_DEEP}"'.encode(), _nested(rng))
    if rng.random() < 0.03:
        data = rng.choice(
            (b'{"model":"bench",' + data[1:], data + data, b"\xef\xbb\xbf" + data, b"[" + data + b"]")
        )
    return data


def part(rng: Random, audio: bytes) -> Tree:
    """A recording in a question, in each way of putting one there."""
    text = base64.b64encode(audio).decode()
    ways: Sequence[Callable[[], Tree]] = (
        lambda: {
            "type": "input_audio",
            "input_audio": {"data": text, "format": rng.choice(("wav", "mp3", "", "exe"))},
        },
        lambda: {"type": "input_audio", "input_audio": {"data": f"data:audio/x;base64,{text}"}},
        lambda: {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{text}"}},
    )
    return rng.choice((*ways, ways[0]))()


def _nested(rng: Random) -> bytes:
    depth = rng.choice((50, 150, 199, 200, 201, 1_000, 50_000))
    opens, closes = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opens * depth + b"1" + closes * (depth if rng.random() < 0.9 else depth // 2)


def _places(tree: Any) -> list[Place]:
    """Every place in a body that holds something."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    found: list[Place] = []
    for key in keys:
        found += [(tree, key), *_places(tree[key])]
    return found


def _other_value(rng: Random, tree: Tree) -> None:
    if places := _places(tree):
        holder, key = rng.choice(places)
        holder[key] = copy.deepcopy(rng.choice(_VALUES))


def _known_field(rng: Random, tree: Tree) -> None:
    tree[rng.choice(_KNOWN)] = copy.deepcopy(rng.choice(_VALUES))


def _unknown_field(rng: Random, tree: Tree) -> None:
    objects = [tree, *(holder[key] for holder, key in _places(tree) if isinstance(holder[key], dict))]
    rng.choice(objects)[rng.choice(_UNKNOWN)] = copy.deepcopy(rng.choice(_VALUES))


def _left_out(rng: Random, tree: Tree) -> None:
    if places := _places(tree):
        holder, key = rng.choice(places)
        del holder[key]


def _many_times(rng: Random, tree: Tree) -> None:
    lists = [holder[key] for holder, key in _places(tree) if isinstance(holder[key], list) and holder[key]]
    if lists:
        chosen = rng.choice(lists)
        chosen += [rng.choice(chosen)] * min(rng.choice((1, 2, 8, 40, 250)), _MOST // len(_places(tree)))


def _wrapped(rng: Random, tree: Tree) -> None:
    if places := _places(tree):
        holder, key = rng.choice(places)
        holder[key] = (
            [holder[key]] if rng.random() < 0.5 else {rng.choice(("type", "text", "data")): holder[key]}
        )


def _text_spoilt(rng: Random, tree: Tree) -> None:
    if places := [(holder, key) for holder, key in _places(tree) if isinstance(holder[key], str)]:
        holder, key = rng.choice(places)
        at = rng.randint(0, len(holder[key]))
        holder[key] = holder[key][:at] + rng.choice(_TEXTS) + holder[key][at:]


def _another_part(rng: Random, tree: Tree) -> None:
    parts: Sequence[Tree] = (
        {"type": "audio_url", "audio_url": {"url": rng.choice(URLS)}},
        {"type": "input_audio", "input_audio": {"data": rng.choice((*URLS, *_BASE64))}},
        {"type": "file", "file": {"file_id": rng.choice((FILE_ID, *_TEXTS))}},
        {"type": "text", "text": rng.choice(_TEXTS)},
        {"type": "image_url", "image_url": {"url": rng.choice(URLS)}},
    )
    content = [rng.choice(parts), {"type": "text", "text": "What is heard?"}]
    if isinstance(tree.get("messages"), list):
        tree["messages"].append({"role": "user", "content": content * rng.choice((1, 1, 1, 5, 20))})


_WAYS: Sequence[Callable[[Random, Tree], None]] = (
    *(_other_value, _other_value, _known_field, _known_field, _unknown_field, _left_out),
    *(_many_times, _wrapped, _text_spoilt, _another_part, _another_part),
)
