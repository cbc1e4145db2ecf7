"""Multipart forms made wrong: names, file names, edges, numbers of parts, and the headers of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from benchmarks.fuzzing import mutate
from benchmarks.fuzzing.corpus import EDGE, Corpus

_NAMES = (
    *(
        b"../../etc/passwd",
        b"..\\..\\a.wav",
        b"/dev/zero",
        b"a.wav\x00.exe",
        b"con",
        b"." * 300,
        b"",
        b"a" * 5_000,
    ),
    *(
        "字\u202e.wav".encode(),
        b"\xff\xfe.wav",
        b"a\tb.wav",
        b"%2e%2e%2f",
        b"a;b.wav",
        b"<b>.wav",
        b"=?utf-8?q?a?=",
    ),
)
_FIELDS: Sequence[bytes] = (
    *(b"file", b"file", b"file[]", b"purpose", b"model", b"language", b"prompt", b"temperature", b"stream"),
    *(
        b"response_format",
        b"timestamp_granularities[]",
        b"timestamp_granularities",
        b"api_base",
        b"",
        b"__proto__",
    ),
    *(b"sound", b"file\xff", b"chunking_strategy"),
)
_VALUES: Sequence[bytes] = (
    *(
        b"bench",
        b"voice",
        b"",
        b"\x00",
        b"\xff\xfe",
        b"true",
        b"1e999",
        b"nan",
        b"-1",
        b"0.5",
        b"word",
        b"srt",
        b"vtt",
    ),
    *(
        b"verbose_json",
        b"en",
        b"xx-YY-zz",
        b"a" * 1_001,
        b"user_data",
        b"fine-tune",
        "字".encode() * 400,
        b"a\r\nb",
    ),
    *(b"<|im_end|>", b"x" * 70_000, b"[1, 2]"),
)
_EDGES = (
    *(
        "",
        '"fuzz-edge"',
        "fuzz edge",
        "-" * 70,
        "x" * 300,
        "fuzz-edge; charset=utf-8",
        "\xe9",
        '"',
        "fuzz-edge,b",
    ),
    *("fuzz-edge; boundary=other", "FUZZ-EDGE"),
)
_HEADERS: Sequence[bytes] = (
    *(
        b"Content-Type: audio/wav",
        b"Content-Type: text/plain; charset=utf-16",
        b"Content-Type: a; charset=rot13",
    ),
    *(
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Length: 3",
    ),
    *(
        b"X: " + b"y" * 20_000,
        b"no colon",
        b": empty",
        b"X\x00: a",
        b"Content-Disposition: attachment",
        b"\xff: \xff",
    ),
)
_MOST = 700 * 2**10  # bytes of a form; the run takes fewer
_PART = re.compile(rb"name=\"([^\"]*)\"(?:; filename=\"([^\"]*)\")?")


@dataclass(frozen=True)
class Part:
    """One part of a form; `filename` is None where it is a field."""

    name: bytes | None
    data: bytes
    filename: bytes | None = None
    headers: tuple[bytes, ...] = ()

    def written(self, edge: bytes) -> bytes:
        """Its bytes, its edge before it."""
        names = b"" if self.name is None else b'; name="%s"' % self.name
        names += b"" if self.filename is None else b'; filename="%s"' % self.filename
        lines = (b"Content-Disposition: form-data" + names, *self.headers)
        return b"--" + edge + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + self.data + b"\r\n"


def parts_of(data: bytes) -> list[Part]:
    """Take one of the corpus's forms apart."""
    parts = []
    for piece in data.split(b"--" + EDGE.encode())[1:]:
        top, _, rest = piece.partition(b"\r\n\r\n")
        if rest:
            found = _PART.search(top)
            name, filename = found.groups() if found else (None, None)
            parts.append(Part(name, rest.removesuffix(b"\r\n"), filename))
    return parts


def whole(parts: Sequence[Part], edge: bytes = EDGE.encode()) -> bytes:
    """Put a form together."""
    return b"".join(part.written(edge) for part in parts) + b"--" + edge + b"--\r\n"


def around(rng: Random, audio: bytes, **fields: bytes) -> bytes:
    """A form as it must be, around a recording that may not be."""
    filename = rng.choice((b"clip.wav", b"clip.mp3", b"blob", *_NAMES[:3]))
    return whole(
        [*(Part(name.encode(), value) for name, value in fields.items()), Part(b"file", audio, filename)]
    )


def kind_of(edge: str = EDGE) -> tuple[bytes, bytes]:
    """The header that names a form's edge."""
    return b"Content-Type", f"multipart/form-data; boundary={edge}".encode("latin-1", "replace")


def spoilt(rng: Random, corpus: Corpus) -> tuple[str, tuple[bytes, bytes], bytes]:
    """A form from the corpus made wrong: its seed's name, its Content-Type, its bytes."""
    name = rng.choice(list(corpus.forms))
    parts = parts_of(corpus.forms[name])
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        parts = _other_parts(rng, parts)
    data, header = whole(parts), kind_of()
    lot = rng.random()
    if lot < 0.12:
        header = kind_of(rng.choice(_EDGES))
    elif lot < 0.4:
        data = _other_frame(rng, data)
    return name, header, data[:_MOST]


def _other_parts(rng: Random, parts: list[Part]) -> list[Part]:
    """Another part, the same again, or one that is not as it was."""
    at = rng.randrange(len(parts)) if parts else 0
    lot = rng.random()
    new = Part(rng.choice(_FIELDS), rng.choice(_VALUES))
    if lot < 0.25 or not parts:
        return [*parts[:at], new, *parts[at:]]
    if lot < 0.32:
        return parts * rng.choice((2, 10))
    if lot < 0.38:
        return parts + [replace(new, data=new.data[:9])] * rng.choice((31, 32, 33, 2_000))
    if lot < 0.45:
        return parts[:at] + parts[at + 1 :]
    changes: Sequence[Part] = (
        replace(parts[at], name=rng.choice((None, *_FIELDS))),
        replace(parts[at], filename=rng.choice((None, *_NAMES))),
        replace(parts[at], data=rng.choice(_VALUES)),
        replace(parts[at], data=mutate.spoilt(rng, parts[at].data, 1)),
        replace(parts[at], headers=(rng.choice(_HEADERS),) * rng.choice((1, 1, 2, 200))),
    )
    return [*parts[:at], rng.choice(changes), *parts[at + 1 :]]


def _other_frame(rng: Random, data: bytes) -> bytes:
    """The edges and line ends, not as they must be."""
    edge = EDGE.encode()
    ways = (
        data.removesuffix(b"--\r\n"),
        data[: rng.randint(0, len(data))],
        data.replace(b"\r\n", b"\n"),
        data.replace(b"\r\n\r\n", b"\r\n", 1),
        b"words before it\r\n" * rng.choice((1, 500)) + data,
        data + b"words after it" * rng.choice((1, 500)) + data,
        data.replace(b"--" + edge, b"--" + edge + b" \t", 1),
        data.replace(b"--" + edge, b"--" + edge[:-1]),
        data.replace(edge, edge + b"--", 1),
        data.replace(b"form-data", rng.choice((b"attachment", b"", b"form-data; form-data", b"\x00"))),
        mutate.spoilt(rng, data, rng.choice((1, 2, 5))),
        b"",
    )
    return rng.choice(ways)
