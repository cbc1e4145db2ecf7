"""Paths, methods and headers made wrong, in HTTP that is right."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from benchmarks.fuzzing.corpus import FILE_ID
from benchmarks.fuzzing.message import CHAT, JSON, LISTENS, SPEECH, Header

PATHS: Sequence[bytes] = (
    *(b"/v1/models", b"/v1/models/bench", b"/v1/files", b"/v1/files/" + FILE_ID.encode(), b"/v1/status"),
    *(b"/v1/files/" + FILE_ID.encode() + b"/content", b"/metrics", b"/openapi.json", b"/healthz", b"/", b"*"),
    *(CHAT, SPEECH, *LISTENS),
)
_STEPS: Sequence[bytes] = (
    *(
        b"..",
        b".",
        b"",
        b"%2e%2e",
        b"%2f",
        b"%5c",
        b"%00",
        b"%ff",
        b"%c0%af",
        b"%",
        b"%zz",
        b"%u0041",
        b"a;b",
        b"~",
    ),
    *(
        "字".encode(),
        b"\xff\xfe",
        b"%0d%0aX:%20y",
        b"file-" + b"A" * 24,
        b"a" * 3_000,
        b"bench",
        b"+",
        b"@",
        b"\\",
    ),
    *(b"%25%32%65", b"{file_id}", b"<b>", b"|", b"*", b"$(id)", b"..%252f..%252fetc", b"-1", b"null"),
)
_QUERIES: Sequence[bytes] = (
    *(
        b"limit=0",
        b"limit=-1",
        b"limit=10000",
        b"limit=10001",
        b"limit=1e9",
        b"limit=",
        b"limit=1&limit=2",
        b"limit=%31",
    ),
    *(
        b"order=asc",
        b"order=ASC",
        b"after=",
        b"after=" + FILE_ID.encode(),
        b"after=%00",
        b"purpose=user_data",
    ),
    *(
        b"purpose=%ff%fe",
        b"a" * 4_000,
        b"a=b&" * 2_000,
        b"%",
        b"=",
        b"&&&",
        b"?",
        b"api_key=x",
        b"after[]=1",
        b"x=%zz",
    ),
)
_METHODS: Sequence[bytes] = (
    *((b"GET",) * 16),
    *(b"HEAD", b"HEAD", b"DELETE", b"POST", b"PUT", b"PATCH", b"OPTIONS", b"TRACE"),
    *(b"PROPFIND", b"PURGE", b"MKCOL", b"QUERY"),
)
_ODD_METHODS: Sequence[bytes] = (
    b"get",
    b"FOO",
    b"GE",
    b"GET\t",
    b"",
    b"A" * 9_000,
    b"CONNECT",
    b"PRI",
    b"M-SEARCH",
)
# What a header may hold by HTTP, so that these must be answered as any request.
_WORDS: Sequence[bytes] = (
    *(
        b"",
        b"a",
        b"a" * 2_000,
        b"\xe9",
        b"\xff" * 64,
        b"a\tb",
        b'()<>@,;:\\"/[]?={}',
        b"0",
        b"-1",
        b"nan",
        b"%00",
    ),
    *(
        b"fuzz-visitor-0001",
        b"v1.fuzz-visitor-0001.99999999999." + b"0" * 64,
        b"v1.a.b.c",
        b"Bearer",
        b"Bearer x",
    ),
    *(
        b"Bearer " + b"k" * 3_000,
        b"Basic YTpi",
        b"no-cache",
        b"no-store, max-age=0",
        b"127.0.0.1",
        b"[::1]:80",
    ),
    *(
        b"1.2.3.4, 5.6.7.8" * 50,
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"00-0-0-0",
        b"bytes=0-",
        b"*/*",
    ),
    *(
        b"bytes=5-1,-1",
        b"https://example.invalid",
        b"null",
        b"text/html",
        b"application/json; charset=utf-16",
    ),
    *(b"application/JSON ;a=b", b"application/json, text/plain", b"multipart/form-data", b"text/plain"),
    *(
        b"gzip",
        b"identity",
        b"gzip, chunked",
        b"br;q=0",
        b"websocket",
        b"h2c",
        b"Fri, 31 Dec 9999 23:59:59 GMT",
    ),
)
_HEADERS: Sequence[bytes] = (
    *(
        b"X-Meralion-Visitor",
        b"Authorization",
        b"Traceparent",
        b"Tracestate",
        b"Baggage",
        b"Cache-Control",
        b"Accept",
    ),
    *(
        b"X-Forwarded-For",
        b"Forwarded",
        b"X-Real-Ip",
        b"X-Forwarded-Proto",
        b"X-Http-Method-Override",
        b"Origin",
    ),
    *(b"Range", b"If-None-Match", b"If-Modified-Since", b"Access-Control-Request-Method", b"Accept-Encoding"),
    *(
        b"Content-Encoding",
        b"Content-Type",
        b"Cookie",
        b"Upgrade",
        b"Te",
        b"User-Agent",
        b"Expect",
        b"Host",
        b"Via",
    ),
)


def path(rng: Random) -> bytes:
    """A path that is there, or one beside it, with or without a query."""
    chosen = rng.choice(PATHS)
    lot = rng.random()
    if lot < 0.15:
        chosen = rng.choice((b"/v1/files/", b"/v1/models/")) + rng.choice(_STEPS)
    elif lot < 0.35:
        steps = chosen.split(b"/")
        steps.insert(rng.randint(1, len(steps)), rng.choice(_STEPS))
        chosen = b"/".join(steps)
    elif lot < 0.45:
        chosen = rng.choice(
            (b"/" + chosen, chosen + b"/", chosen.upper(), chosen.replace(b"/", b"//"), chosen + b"#a")
        )
    if rng.random() < 0.25:
        chosen += b"?" + b"&".join(rng.choice(_QUERIES) for _ in range(rng.choice((1, 1, 2))))
    return chosen or b"/"


def method(rng: Random) -> tuple[bytes, bool]:
    """A method, and whether there is such a one."""
    odd = rng.random() < 0.1
    return rng.choice(_ODD_METHODS if odd else _METHODS), not odd


def headers(rng: Random, given: list[Header]) -> list[Header]:
    """The same headers with some more, or with others in their place."""
    changed = list(given)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        name, word = rng.choice(_HEADERS), rng.choice(_WORDS)
        if name == b"Expect" or (name == b"Upgrade" and word == b"h2c"):
            word = b"a"
        if rng.random() < 0.7:
            changed = [header for header in changed if header[0] != name]
        changed.append((name, word))
    return changed


def kind(rng: Random) -> Header:
    """What a body of JSON is said to be: mostly what it is."""
    return JSON if rng.random() < 0.94 else (b"Content-Type", rng.choice(_WORDS))
