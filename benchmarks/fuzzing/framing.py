"""Requests sent in other ways than HTTP's plainest: in chunks, with lengths that lie, cut, glued together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from benchmarks.fuzzing import mutate
from benchmarks.fuzzing.corpus import Corpus
from benchmarks.fuzzing.message import CHAT, JSON, Framing, Header, get, head, post, usual

Framed = tuple[bytes, Framing]
_PLAIN = b'{"model":"bench","messages":[{"role":"user","content":"hi"}],"temperature":0}'
_CHUNKED: Header = (b"Transfer-Encoding", b"chunked")
_RUBBISH = (
    b"\x00" * 40,
    b"\xff rubbish\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"a" * 70_000,
    b"{}",
    b"\r\n\r\n",
)
_LENGTHS = (
    b"-1",
    b"+5",
    b"5, 5",
    b"0x5",
    b"5 5",
    b"",
    b"ten",
    b"1e3",
    b"9" * 40,
    b"\xb2",
    b"05",
    b"2147483648",
)
_ODD_LINES = (
    *(
        b"Host: b",
        b"Host: " + b"a" * 5_000,
        b"Host:",
        b"Host: a@b/c",
        b"X: a\rb",
        b"X: a\x00b",
        b"X : a",
        b" X: a",
    ),
    *(
        b"X",
        b": a",
        b"X\xff: a",
        b"X: a\r\n b",
        b"\x00: a",
        b"Transfer-Encoding: gzip",
        b"Connection: close, x",
    ),
    *(
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Upgrade: h2c\r\nConnection: upgrade",
    ),
    *(
        b"X: " + b"a" * 60_000,
        b"X: " + b"a" * 200_000,
        b"\r\n".join([b"X: a"] * 90),
        b"\r\n".join([b"Y: b"] * 5_000),
    ),
    *(b"Content-Length: 0", b"Content-Length: 3", b"Proxy-Connection: keep-alive", b"Keep-Alive: timeout=0"),
)


def in_chunks(rng: Random, data: bytes, extension: bytes = b"") -> bytes:
    """A body in chunks, as it must be."""
    pieces, at = [], 0
    while at < len(data):
        size = min(len(data) - at, int(2 ** rng.uniform(0, 13)))
        pieces.append(b"%x%s\r\n%s\r\n" % (size, extension, data[at : at + size]))
        at += size
    return b"".join(pieces) + b"0\r\n\r\n"


def _right_chunks(rng: Random, headers: list[Header]) -> Framed:
    extension = rng.choice((b"", b"", b";a=b"))
    return head(b"POST", CHAT, [*headers, _CHUNKED]) + in_chunks(rng, _PLAIN, extension), "right"


def _packed(rng: Random, headers: list[Header]) -> Framed:
    coding = rng.choice((b"gzip", b"deflate", b"br", b"zstd", b"identity, gzip"))
    return post(CHAT, b"\x1f\x8b\x08" + rng.randbytes(60), [*headers, (b"Content-Encoding", coding)]), "right"


def _asks_first(rng: Random, headers: list[Header]) -> Framed:
    return post(CHAT, _PLAIN, [*headers, (b"Expect", b"100-continue")]), "right"


def _never_comes(rng: Random, headers: list[Header]) -> Framed:
    """The rest of a body that is waited for, until that takes too long."""
    if rng.random() < 0.95:
        return _right_chunks(rng, headers)  # the wait is long: not often
    return head(b"POST", CHAT, [*headers, (b"Content-Length", b"999")]) + _PLAIN, "right"


def _wrong_chunks(rng: Random, headers: list[Header]) -> Framed:
    body = in_chunks(rng, _PLAIN)
    wrong = (
        body[: rng.randint(0, len(body) - 1)],
        b"-5\r\n" + body,
        b"zz\r\n" + body,
        b"f" * 20 + b"\r\n" + body,
        b"0x5\r\n" + body,
        body.replace(b"\r\n", b"\n"),
        body[:-2] + b"Content-Length: 3\r\n\r\n",
        b"5;" + b"a" * 90_000 + b"\r\n" + body,
        mutate.spoilt(rng, body, 2),
    )
    return head(b"POST", CHAT, [*headers, _CHUNKED]) + rng.choice(wrong), "broken"


def _wrong_length(rng: Random, headers: list[Header]) -> Framed:
    length = rng.choice((*_LENGTHS, b"%d" % rng.choice((1, 10, len(_PLAIN) - 1, len(_PLAIN) + 1, 10**6))))
    return head(b"POST", CHAT, [*headers, (b"Content-Length", length)]) + _PLAIN, "broken"


def _two_lengths(rng: Random, headers: list[Header]) -> Framed:
    lengths: list[Header] = [
        (b"Content-Length", b"%d" % len(_PLAIN)),
        rng.choice((_CHUNKED, (b"Content-Length", b"%d" % rng.randint(0, 99)))),
    ]
    rng.shuffle(lengths)
    body = rng.choice((_PLAIN, in_chunks(rng, _PLAIN), b"0\r\n\r\n" + get(b"/v1/status", [])))
    return head(b"POST", CHAT, [*headers, *lengths]) + body, "broken"


def _glued(rng: Random, headers: list[Header]) -> Framed:
    """One request that is right, and behind it others, or what is none."""
    more = rng.choice((*_RUBBISH, get(b"/v1/models", usual(0)) * rng.choice((1, 20, 300))))
    first = post(CHAT, _PLAIN, headers) if rng.random() < 0.5 else get(b"/v1/models", headers)
    return first + more, "odd"


def _odd_line(rng: Random, headers: list[Header]) -> Framed:
    """A header line that should not be, or not so often or so long."""
    lines = head(b"POST", CHAT, [*headers, (b"Content-Length", b"%d" % len(_PLAIN))]).split(b"\r\n")
    lines.insert(rng.randint(1, len(lines) - 2), rng.choice(_ODD_LINES))
    return b"\r\n".join(lines) + _PLAIN, "broken"


def _odd_start(rng: Random, headers: list[Header]) -> Framed:
    """A first line that is none, or one of another version."""
    rest = get(b"/", headers).partition(b"\r\n")[2]
    line = rng.choice(
        (
            *(
                b"GET /v1/models HTTP/1.0",
                b"GET /v1/models HTTP/2.0",
                b"GET /v1/models HTTP/1.1 x",
                b"GET /v1/models",
            ),
            *(
                b"GET  /v1/models  HTTP/1.1",
                b"GET /v1/ models HTTP/1.1",
                b"\r\nGET /v1/models HTTP/1.1",
                b"GET",
            ),
            *(
                b"GET /" + b"a" * 90_000 + b" HTTP/1.1",
                b"GET http://127.0.0.1/v1/models HTTP/1.1",
                b"GET * HTTP/1.1",
            ),
            *(
                b"GET ?a HTTP/1.1",
                b"GET v1/models HTTP/1.1",
                b"GET /\x00 HTTP/1.1",
                b"GET /\xff HTTP/1.1",
                b"\x16\x03\x01",
            ),
        )
    )
    return line + b"\r\n" + rest, "broken"


def _cut(rng: Random, headers: list[Header]) -> Framed:
    """A request that ends anywhere."""
    whole = post(CHAT, _PLAIN, headers)
    return whole[: rng.randint(1, len(whole) - 1)], "broken"


def _spoilt(rng: Random, headers: list[Header]) -> Framed:
    return mutate.spoilt(rng, post(CHAT, _PLAIN, headers), rng.choice((1, 2, 4))), "broken"


_WAYS: Sequence[Callable[[Random, list[Header]], Framed]] = (
    *(_right_chunks, _right_chunks, _packed, _asks_first, _never_comes, _wrong_chunks, _wrong_length),
    *(_two_lengths, _glued, _odd_line, _odd_line, _odd_start, _cut, _spoilt, _spoilt),
)


def framed(rng: Random, number: int, corpus: Corpus) -> Framed:
    """A request in one of these ways, or one of the corpus's as it is or made wrong."""
    if rng.random() < 0.3:
        return mutate.spoilt(rng, rng.choice(list(corpus.http.values())), rng.choice((0, 1, 2))), "broken"
    return rng.choice(_WAYS)(rng, usual(number, JSON))
