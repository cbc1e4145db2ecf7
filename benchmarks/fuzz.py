"""Wrong requests of every kind at the controller: schemathesis's, and bodies, sounds and HTTP made wrong.

.venv/bin/python -m benchmarks.fuzz --requests 50000 --seed 1 --write
.venv/bin/python -m benchmarks.fuzz --quick  # 2,000, to see that it works
.venv/bin/python -m benchmarks.fuzz --seed 1 --only 1234  # one request again, as the seed makes it
.venv/bin/python -m benchmarks.fuzz --replay .cache/fuzz/1234.http  # one again, as it was sent
.venv/bin/python -m benchmarks.fuzz --make-corpus  # write benchmarks/fuzz_corpus again

The controller runs as a process in front of two mock engines that are well. So every answer must come, in
time, with a status below 500, a 4xx in OpenAI's form; afterwards the controller must be as it was before.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks import report
from benchmarks.fuzzing import corpus, log
from benchmarks.fuzzing.corpus import VOICE
from benchmarks.fuzzing.message import Message
from benchmarks.fuzzing.plan import SHARES, Plan
from benchmarks.fuzzing.run import Canary, House, Run
from benchmarks.load import gateways, processes
from benchmarks.load.questions import MODEL

MOST_GROWTH = 0.05  # of the controller's memory, from the end of the warm-up to the end
ALLOWANCE_MB = (
    3.0  # besides: small blocks of the heap that are kept for the next; what is in use stays the same
)
DECODERS_MB = 96.0  # of each decoder: FFmpeg keeps the room of the largest clip that it has met
WARM_SHARE = 0.2
SCHEMA_SHARE = 0.2  # of the requests
_QUICK = 2_000

# Small bounds, so that they are often reached, and what is kept comes to its bound early.
SETTINGS = {
    "MERALION_MAX_AUDIO_BYTES": str(256 * 2**10),
    "MERALION_MAX_AUDIO_SECONDS": "10",
    "MERALION_MAX_TRANSCRIPTION_BYTES": str(320 * 2**10),
    "MERALION_MAX_TRANSCRIPTION_SECONDS": "20",
    "MERALION_MAX_JSON_BYTES": str(512 * 2**10),
    "MERALION_MAX_PROMPT_CHARS": "2000",
    "MERALION_MAX_CONVERSATION_CHARS": "8000",
    "MERALION_FILES_MAX_BYTES": str(2**20),
    "MERALION_FILES_PER_VISITOR": "10",
    "MERALION_CACHE_MAX_BYTES": str(256 * 2**10),
    "MERALION_CACHE_FILE_MAX_BYTES": str(4 * 2**20),
    "MERALION_BODY_TIMEOUT_S": "1",
    "MERALION_AUDIO_URL_TIMEOUT_S": "2",
    "MERALION_PLACES": "64",
}
# Allowed by name, and at addresses that nothing may be fetched from.
_HOSTS = (
    *("127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "[::ffff:7f00:1]:{port}"),
    *("169.254.169.254", "10.0.0.1"),
)
_VOICE_ROW = f"""
[{VOICE}]
title = "Voice"
sentence = "A mock engine that speaks."
kind = "speech"
engine = "openai"
upstream_model = "{MODEL}"
instances = {{instances}}
licence = "MIT"
[{VOICE}.capabilities]
speech = true
"""


def main() -> int:
    """Do what the command line says; 1 when something was wrong."""
    options = options_of()
    if options.make_corpus:
        print(f"{corpus.make():,} bytes in {corpus.FOLDER}")
        return 0
    with house(options.log) as place:
        if options.replay:
            return Run(place, options.failures).show(Message(0, "replay", options.replay.read_bytes(), "odd"))
        plan = Plan(options.seed, corpus.load(), {kind: SHARES[kind] for kind in options.kinds or SHARES})
        run = Run(place, options.failures)
        if options.only is not None:
            return run.show(plan.message(options.only))
        of_schema = round(options.requests * options.schema_share)
        run.go(plan, options.requests - of_schema, of_schema, options.seed, options.at_once)
        rows = rows_of(run, place)
    write(options, rows)
    return int(any(row[2] == "NOT MET" for row in rows))


def options_of(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--requests", type=int, default=50_000, help="(%(default)s)")
    add("--quick", action="store_const", dest="requests", const=_QUICK, help=f"{_QUICK:,} of them")
    add("--seed", type=int, default=1, help="of everything that is sent (%(default)s)")
    add("--at-once", type=int, default=8, help="connections, beside schemathesis's own (%(default)s)")
    add("--schema-share", type=float, default=SCHEMA_SHARE, help="of the requests (%(default)s)")
    add("--kinds", nargs="*", choices=list(SHARES), help="of the other requests (all)")
    add("--only", type=int, metavar="NUMBER", help="send this one alone and show its answer")
    add("--replay", type=Path, metavar="FILE", help="send a failure that was kept, and show its answer")
    add("--failures", type=Path, default=Path(".cache/fuzz"), help="where failures are kept (%(default)s)")
    add("--log", type=Path, help="keep the controller's log here")
    add("--make-corpus", action="store_true", help="write benchmarks/fuzz_corpus again, and end")
    add("--write", action="store_true", help="write benchmarks/results/fuzz.md")
    return parser.parse_args(words)


@contextlib.contextmanager
def house(log_file: Path | None = None) -> Iterator[House]:
    """The controller in front of two mock engines, and the port where nobody may come."""
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(processes.mock()) for _ in range(2)]
        canary = stack.enter_context(Canary())
        kept = log_file or Path(stack.enter_context(tempfile.TemporaryDirectory()), "log")
        settings = {**SETTINGS, "MERALION_AUDIO_URL_HOSTS": ",".join(_HOSTS).format(port=canary.port)}
        instances = str(gateways.addresses(engines)).replace("'", '"')
        more = _VOICE_ROW.format(instances=instances)
        gateway = stack.enter_context(gateways.ours(engines, settings, stderr=kept, more=more))
        assert gateway.program
        yield House(gateway.ports[0], gateway.program, canary, kept)


def rows_of(run: Run, place: House) -> list[list[str]]:
    """What was sent, what came of it, and how the controller is."""
    tally, memory = run.tally, run.memory
    rows = [
        [
            f"{kind}: {counts.total():,} requests",
            ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items())),
            "",
        ]
        for kind, counts in sorted(tally.statuses.items())
    ]
    since = WARM_SHARE * memory.samples[-1][0]
    at_first_mb, decoders_mb = memory.after(since)[0][1], max(mb for _, mb in run.decoders.samples)
    flat = memory.growth(since) * at_first_mb < MOST_GROWTH * at_first_mb + ALLOWANCE_MB
    found = log.read(place.log)
    health = httpx.get(f"http://127.0.0.1:{place.port}/healthz", trust_env=False).json()["status"]
    wrong = ", ".join(f"{what}: {count}" for what, count in tally.wrong.items())
    slowest_s, slowest = tally.slowest
    rows += [
        ["requests a second", f"{tally.requests / run.seconds:.0f}, {run.seconds:.0f} s in all", ""],
        ["answers of 500 and above", str(tally.of_status("5")), report.met(not tally.of_status("5"))],
        ["answers that were wrong otherwise", wrong or "0", report.met(not tally.wrong)],
        ["codes of errors", ", ".join(f"{code}: {count:,}" for code, count in tally.codes.most_common()), ""],
        ["slowest answer", f"{slowest_s:.1f} s ({slowest})", ""],
        [
            "connections to a port that no URL may lead to",
            str(place.canary.count),
            report.met(not place.canary.count),
        ],
        ["memory of the controller", memory.line(since), report.met(flat)],
        ["memory of its two decoders", run.decoders.line(since), report.met(decoders_mb < 2 * DECODERS_MB)],
        ["errors in its log", found.summary(), report.met(not found.errors)],
        [
            "health afterwards, and a question",
            f"{health}, {run.afterwards}",
            report.met(health == "ok" and run.is_well),
        ],
    ]
    return rows


def write(options: argparse.Namespace, rows: list[list[str]]) -> None:
    """Print the table, and write it where that is wanted."""
    note = (
        f"Seed {options.seed}, {options.at_once} connections and schemathesis's own, two mock engines that "
        "are well, small bounds (`SETTINGS` in benchmarks/fuzz.py), seeds from benchmarks/fuzz_corpus. "
        "`closed` are connections that were closed without an answer, which only a request that is no HTTP "
        f"may see. Memory is flat when it grows by less than {MOST_GROWTH:.0%} and {ALLOWANCE_MB:g} MB from "
        f"{WARM_SHARE:.0%} of the time to the end; a decoder keeps the room of the largest clip that it has "
        f"met, and may take {DECODERS_MB:g} MB."
    )
    report.tell("fuzz", "The controller under wrong requests", rows, note, write=options.write)


if __name__ == "__main__":
    sys.exit(main())
