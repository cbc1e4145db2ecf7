"""How many engines an event needs.

python -m benchmarks.capacity size --shape fair --visitors 5000    # the fewest instances that meet the bar
python -m benchmarks.capacity run --shape launch --instances 3     # what visitors find with so many
python -m benchmarks.capacity run --trace benchmarks/traces/event.jsonl --instances 1
python -m benchmarks.capacity fit h100-meraliongpu                 # a profile's figures anew, as TOML
python -m benchmarks.capacity report --write                       # all of results/capacity.md
python -m benchmarks.capacity check --write                        # against a real run on this machine
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from backend.policies import POLICIES
from benchmarks import event
from benchmarks.capacity import measured, profile, visits
from benchmarks.capacity.arrivals import SHAPES
from benchmarks.capacity.fit import error
from benchmarks.capacity.profile import ProfileError
from benchmarks.capacity.questions import Visit
from benchmarks.capacity.simulate import Outcome, Setup, quantile, simulate
from benchmarks.capacity.sizing import Bar, smallest


def main() -> int:
    """Do what the command line says; 2 for what cannot be done."""
    options = _options()
    try:
        return int(options.does(options) or 0)
    except ProfileError as problem:
        print(problem, file=sys.stderr)
        return 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for name, does in (("size", _size), ("run", _run)):
        command = commands.add_parser(name)
        command.set_defaults(does=does)
        add = command.add_argument
        add("--shape", choices=[*SHAPES], default="fair", help="when visitors come (%(default)s)")
        add("--visitors", type=int, help="how many, on average (the shape's own)")
        add("--trace", type=Path, help="a file of requests instead, as benchmarks/event.py makes it")
        add(
            "--visits",
            type=Path,
            metavar="TOML",
            help="what to assume of visitors otherwise: fields of visits.Mix",
        )
        add("--profile", default="h100-meraliongpu", help="an engine of the profiles (%(default)s)")
        add("--profiles", type=Path, default=profile.FILE, metavar="TOML", help="a file of your own")
        add("--policy", choices=[*POLICIES], default="affinity", help="(%(default)s)")
        add("--no-cache", action="store_true", help="keep no answers")
        add("--no-single-flight", action="store_true", help="join no answers under way")
        add("--no-encoder-cache", action="store_true", help="engines remember no sound")
        add(
            "--ttft",
            type=float,
            default=2.0,
            help="the bar: p95 of the time to the first token, s (%(default)s)",
        )
        add("--refused", type=float, default=0.001, help="the bar: share turned away or left (%(default)s)")
        add("--seeds", type=int, default=3, help="events drawn (%(default)s)")
        if name == "run":
            add("--instances", type=int, default=1, help="(%(default)s)")
    command = commands.add_parser("fit", help="find a profile's figures from its bench")
    command.add_argument("name", choices=[*measured.BENCHES])
    command.set_defaults(does=_fit)
    command = commands.add_parser("report", help="run all studies (minutes)")
    command.add_argument("--profile", default="h100-meraliongpu", help="(%(default)s)")
    command.add_argument("--ttft", type=float, default=2.0, help="s (%(default)s)")
    command.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    command.add_argument(
        "--write", action="store_true", help="write benchmarks/results/capacity.md and its picture"
    )
    command.set_defaults(does=_report)
    command = commands.add_parser(
        "check", help="calibrate, run, predict and compare on this machine (8 minutes)"
    )
    command.add_argument("--seconds", type=float, default=240.0, help="of the real run (%(default)s)")
    command.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    command.add_argument(
        "--write", action="store_true", help="write benchmarks/results/capacity_check.md and .png"
    )
    command.set_defaults(does=_check)
    return parser.parse_args()


def _setup(options: argparse.Namespace, instances: int) -> Setup:
    if instances < 1:
        raise ProfileError("--instances must be 1 at least.")
    return Setup(
        profile.load(options.profile, options.profiles).profile,
        instances,
        options.policy,
        keeps=not options.no_cache,
        joins=not options.no_single_flight,
        encoder_cache=not options.no_encoder_cache,
    )


def _events(options: argparse.Namespace, spread: float) -> list[list[Visit]]:
    assumed = visits.mix(options.visits)
    if options.seeds < 1 or (options.visitors is not None and options.visitors < 1):
        raise ProfileError("--seeds and --visitors must be 1 at least.")
    if options.trace:
        try:
            return [visits.from_trace(event.read(options.trace), assumed)]
        except (OSError, ValueError, TypeError) as problem:
            raise ProfileError(
                f"{options.trace} is no trace ({problem}). The first line is a note, every other one a "
                "JSON array of arrival_s, owner, clip, audio_s, tokens."
            ) from None
    count = options.visitors or SHAPES[options.shape].visitors
    return [visits.draw(options.shape, count, seed, assumed, spread) for seed in range(1, options.seeds + 1)]


def _size(options: argparse.Namespace) -> None:
    setup = _setup(options, 1)
    began = time.perf_counter()
    count, outcomes = smallest(
        _events(options, setup.profile.spread), setup, Bar(options.ttft, failed=options.refused)
    )
    print(f"{count} x {options.profile} ({time.perf_counter() - began:.1f} s)")
    for outcome in outcomes:
        _tell(outcome)


def _run(options: argparse.Namespace) -> None:
    setup = _setup(options, options.instances)
    for seed, some in enumerate(_events(options, setup.profile.spread)):
        _tell(simulate(some, setup, seed))


def _tell(outcome: Outcome) -> None:
    first = outcome.ttft()
    fates = ", ".join(f"{fate} {count}" for fate, count in sorted(outcome.fates.items()))
    print(
        f"{outcome.visits} visitors, {len(outcome.calls)} questions ({fates}); first token p50 "
        f"{quantile(first, 0.5):.3f} s, p95 {quantile(first, 0.95):.3f} s, p95 of the worst ten minutes "
        f"{outcome.busiest(0.95, 600.0):.3f} s; turned away or left {outcome.failed:.2%}; sound met before "
        f"{outcome.warm / max(outcome.met, 1):.0%}; work {outcome.work_s / 3600:.3f} engine-hours"
    )


def _fit(options: argparse.Namespace) -> None:
    bench = measured.BENCHES[options.name]
    fitted = bench.fitted()
    print(f"# {bench.source}; root of the mean squared error {error(fitted, bench.cells):.1%}")
    for key, value in fitted.model_dump().items():
        print(f"{key} = {value:.4g}")


def _report(options: argparse.Namespace) -> None:
    from benchmarks.capacity import document  # draws: matplotlib

    print(document.run(options.profile, Bar(options.ttft), options.workers, write=options.write))


def _check(options: argparse.Namespace) -> int:
    from benchmarks.capacity import check

    return check.main(options.seconds, options.seed, write=options.write)


if __name__ == "__main__":
    sys.exit(main())
