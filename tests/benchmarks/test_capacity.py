"""The capacity simulator: queueing theory, the controller's own queue, nothing lost, and its figures."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.balancer import Instance, Pool
from backend.breaker import Breaker
from backend.policies import POLICIES
from backend.settings import Settings
from backend.work import Ask, Work
from benchmarks import event, report, virtual_time
from benchmarks.balance import MAX_TOKENS
from benchmarks.capacity import arrivals, check, measured, profile, sizing, visits, workload
from benchmarks.capacity.asking import Measured
from benchmarks.capacity.controller import ANSWERED
from benchmarks.capacity.fit import Bound, Cell, bench, error, fit
from benchmarks.capacity.profile import Profile, ProfileError
from benchmarks.capacity.questions import Question, Visit
from benchmarks.capacity.simulate import Setup, changed, quantile, simulate
from benchmarks.capacity.sizing import Bar
from benchmarks.capacity.visits import Mix

H100 = profile.load("h100-meraliongpu").profile
PLAIN = Profile(  # an engine that only reads: a server with a queue before it
    places=1,
    apart_ms=0,
    apart_ms_per_s=0,
    read_ms=0,
    read_ms_per_s=1_000,  # a request takes as many s as its sound has
    warm_ms=0,
    warm_ms_per_s=0,
    reads_at_once=1024,
    step_ms=1,
    step_ms_per_answer=0,
    stall=0,
    drag=0,
    encoder_cache_chunks=0,
)
ENDLESS: tuple[tuple[str, Any], ...] = (("queue_timeout_s", 1e7), ("queue_max", 10**6))
REQUESTS = 8_000


def stream(rate: float, service: str, requests: int = REQUESTS, seed: int = 1) -> list[Visit]:
    """Poisson arrivals, a visitor each, with services of mean 1 s."""
    lot = random.Random(seed)
    now, found = 0.0, []
    for number in range(requests):
        now += lot.expovariate(rate)
        s = lot.expovariate(1.0) if service == "M" else 1.0
        question = Question(f"c{number}", s, "?", 1, patience_s=1e9)
        found.append(Visit(now, f"v{number}", (question,)))
    return found


def is_mean_of(times: Sequence[float], wanted: float) -> bool:
    """Whether a mean is what theory says, to within three standard errors, by the means of 20 batches."""
    each = len(times) // 20
    batches = [statistics.fmean(times[at : at + each]) for at in range(0, 20 * each, each)]
    off = statistics.stdev(batches) / math.sqrt(len(batches))
    assert off < 0.15 * wanted, "too few to tell"
    return abs(statistics.fmean(times) - wanted) < 3 * off


def erlang_c(servers: int, load: float) -> float:
    """The probability to wait in M/M/c, by its textbook formula."""
    rho = load / servers
    last = load**servers / math.factorial(servers) / (1 - rho)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize(
    ("servers", "load", "service", "wanted"),
    [
        (1, 0.5, "M", 1.0),  # rho / (1 - rho), Pollaczek and Khinchine
        (1, 0.5, "D", 0.5),  # half of it
        (3, 1.5, "M", erlang_c(3, 1.5) / 1.5),
    ],
)
def test_waits_are_those_of_queueing_theory(servers: int, load: float, service: str, wanted: float) -> None:
    setup = Setup(PLAIN, servers, policy="least_work", settings=ENDLESS)
    some = stream(load, service)
    outcome = simulate(some, setup)
    # First come, first served: the recursion of Kiefer and Wolfowitz, request by request.
    free = [0.0] * servers
    for call, visit in zip(outcome.calls, some, strict=True):
        begins = max(heapq.heappop(free), visit.at)
        heapq.heappush(free, begins + visit.questions[0].audio_s)
        assert call.placed == pytest.approx(begins)
    assert is_mean_of([call.placed - call.asked for call in outcome.calls], wanted)


def test_a_shared_engine_takes_as_long_as_processor_sharing() -> None:
    rho = 0.5  # whatever the services are, the mean time is that of M/M/1
    setup = Setup(PLAIN.model_copy(update={"places": 1024}), settings=ENDLESS)
    for service in "MD":
        took = simulate(stream(rho, service), setup).ttft()
        assert is_mean_of(list(took), 1 / (1 - rho))


def test_answers_grow_together_at_the_pace_of_their_number() -> None:
    engine = PLAIN.model_copy(
        update={"places": 4, "read_ms_per_s": 0, "step_ms": 10, "step_ms_per_answer": 2}
    )
    crowd = [Visit(0.0, f"v{n}", (Question(f"c{n}", 1.0, "?", 11, patience_s=9),)) for n in range(4)]
    outcome = simulate(crowd, Setup(engine))
    # Ten tokens after the first, each 10 + 3 * 2 ms.
    assert [call.ended for call in outcome.calls] == pytest.approx([0.16] * 4)
    late = [*crowd[:1], Visit(0.05, "late", (Question("late", 1.0, "?", 11, patience_s=9),))]
    first, second = simulate(late, Setup(engine)).calls
    # Alone 5 tokens, together 5 at 12 ms, then the second's last 5 alone.
    assert (first.ended, second.ended) == pytest.approx((0.11, 0.16))


def test_reading_and_writing_slow_each_other_as_the_profile_says() -> None:
    engine = PLAIN.model_copy(update={"places": 2, "step_ms": 100, "stall": 0.5, "drag": 0.2})
    writes = Visit(0.0, "a", (Question("a", 0.0, "?", 21, patience_s=99),))
    reads = Visit(0.5, "b", (Question("b", 0.8, "?", 1, patience_s=99),))
    a, b = simulate([writes, reads], Setup(engine)).calls
    assert b.first == pytest.approx(0.5 + 0.8 / 0.8)
    assert a.ended == pytest.approx(0.5 + 1.0 + (2.0 - 0.5 - 0.5))


@pytest.mark.parametrize("policy", POLICIES)
def test_places_and_waits_are_those_of_the_real_pool(policy: str) -> None:
    """The same requests through `backend.balancer.Pool`, in virtual time: same instances, same waits."""
    lot = random.Random(5)
    asked = []
    now = 0.0
    for number in range(400):
        now += lot.expovariate(4.0)
        asked.append(
            (now, f"v{lot.randrange(40)}", f"clip {lot.randrange(60)}", lot.uniform(0.2, 3.0), number)
        )
    names = [f"10.0.0.{n}:8000" for n in range(4)]

    async def real() -> list[tuple[int, float]]:
        random.seed(0)
        clock = asyncio.get_running_loop().time
        instances = [Instance(name, places=2, breaker=Breaker(clock=clock), clock=clock) for name in names]
        for instance in instances:
            instance.set("up")
        settings = Settings.model_validate(
            {"balance": policy, "queue_per_visitor": 99, "queue_timeout_s": 999}
        )
        pool = Pool("Trace", instances, settings, clock=clock)
        found: dict[int, tuple[int, float]] = {}

        async def one(at: float, owner: str, clip: str, takes_s: float, number: int) -> None:
            await asyncio.sleep(at)
            with await pool.enter(Ask(owner, Work(takes_s, MAX_TOKENS), clip)) as place:
                found[number] = (instances.index(place.instance), round(clock() - at, 6))
                await asyncio.sleep(takes_s)
                place.produced(0)

        async with asyncio.TaskGroup() as group:
            for request in asked:
                group.create_task(one(*request))
        return [found[number] for number in range(len(asked))]

    engine = PLAIN.model_copy(
        update={"places": 2, "read_ms_per_s": 0, "warm_ms_per_s": 0, "apart_ms_per_s": 1_000}
    )
    trace = [
        Visit(at, owner, (Question(clip, takes_s, f"{number}", 1, patience_s=1e6),))
        for at, owner, clip, takes_s, number in asked
    ]
    settings = (("queue_per_visitor", 99), ("queue_timeout_s", 999.0))
    outcome = simulate(trace, Setup(engine, 4, policy, settings=settings))
    ours = [(call.instance, round(call.placed - call.asked, 6)) for call in outcome.calls]
    assert any(wait > 0 for _, wait in ours)
    assert ours == virtual_time.run(real())


def fair(visitors: int = 400, seed: int = 3, **assumed: Any) -> list[Visit]:
    return visits.draw("fair", visitors, seed, Mix().model_copy(update=assumed))


def slow(**figures: Any) -> Setup:
    """An engine that a small event overloads."""
    return changed(
        Setup(H100), **{"places": 2, "read_ms": 900.0, "warm_ms": 500.0, "step_ms": 60.0, **figures}
    )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("keeps", [True, False])
def test_every_visitor_and_every_question_is_counted_once(policy: str, keeps: bool) -> None:
    some = visits.draw("class", 120, 1, Mix())
    setup = replace(
        slow(), instances=2, policy=policy, keeps=keeps, settings=(("queue_max", 20), ("queue_timeout_s", 8))
    )
    outcome = simulate(some, setup)
    assert sum(outcome.ends.values()) == outcome.visits == len(some)
    assert sum(outcome.fates.values()) == len(outcome.calls)
    assert "" not in outcome.fates
    assert {"refused", "left"} <= set(outcome.fates)
    assert outcome.ends["to the end"] < outcome.visits
    asked = Counter(call.owner for call in outcome.calls)
    failed = {call.owner for call in outcome.calls if call.fate not in ANSWERED}
    for visit in some:
        assert asked[visit.owner] <= len(visit.questions)
        assert asked[visit.owner] == len(visit.questions) or visit.owner in failed
    for call in outcome.calls:
        if call.fate in ANSWERED:
            assert call.asked <= call.first <= call.ended


def test_who_waits_in_vain_is_told_so() -> None:
    some = visits.draw("class", 60, 1, Mix(patience_s=1e6))
    # Alone: who joins an answer goes by the clock of the one that asked first.
    outcome = simulate(some, replace(slow(), joins=False, settings=(("queue_timeout_s", 3),)))
    waited = [call.ended - call.asked for call in outcome.calls if call.fate == "timed out"]
    assert waited == pytest.approx([3.0] * len(waited))
    assert waited


def test_the_last_follower_to_leave_ends_the_answer() -> None:
    setup = changed(Setup(PLAIN), places=4)
    two = [
        Visit(0.0, "a", (Question("clip", 10.0, "same", 1, patience_s=2, public=True),)),
        Visit(1.0, "b", (Question("clip", 10.0, "same", 1, patience_s=99, public=True),)),
    ]
    outcome = simulate(two, setup)
    assert [call.fate for call in outcome.calls] == ["left", "joined"]
    assert (outcome.read_s, outcome.calls[1].first) == (10.0, 10.0)
    alone = simulate(two[:1], setup)
    assert (alone.calls[0].fate, alone.read_s) == ("left", 0.0)


def test_the_same_seed_gives_the_same_outcome_and_another_does_not() -> None:
    first, again = (simulate(fair(), Setup(H100, 2, "power_of_two"), 4) for _ in range(2))
    assert [(c.instance, c.first, c.ended) for c in first.calls] == [
        (c.instance, c.first, c.ended) for c in again.calls
    ]
    assert fair(seed=4) != fair(seed=5)
    few, many = fair(100), fair(5_000)  # a visitor does the same however many come
    assert few[0].questions == many[0].questions


def test_caches_and_single_flight_never_make_work() -> None:
    for seed in range(2):
        some = fair(150, seed=seed)
        on = Setup(H100, 2)
        for off in (replace(on, keeps=False), replace(on, joins=False), replace(on, encoder_cache=False)):
            more, less = simulate(some, off), simulate(some, on)
            assert less.work_s <= more.work_s
        assert simulate(some, replace(on, keeps=False)).work_s > simulate(some, on).work_s


def test_whose_answers_are_whose() -> None:
    def two(public: bool) -> list[Visit]:
        return [
            Visit(at, who, (Question("clip", 5.0, "same", 9, public=public),))
            for at, who in ((0.0, "a"), (9.0, "b"), (18.0, "a"))
        ]

    assert [call.fate for call in simulate(two(True), Setup(H100)).calls] == ["engine", "kept", "kept"]
    assert [call.fate for call in simulate(two(False), Setup(H100)).calls] == ["engine", "engine", "kept"]


@pytest.mark.parametrize("shape", arrivals.SHAPES)
def test_so_many_come_as_a_shape_says(shape: str) -> None:
    counts = [len(visits.draw(shape, 2_000, seed, Mix())) for seed in range(5)]
    assert statistics.fmean(counts) == pytest.approx(2_000, rel=0.05)
    at = [visit.at for visit in visits.draw(shape, 500, 1, Mix())]
    assert at == sorted(at)
    assert at[0] >= 0


def test_rates_follow_their_lines() -> None:
    draw = np.random.default_rng(1)
    at = arrivals.launch(60_000, draw)
    peak, half_life = arrivals.RISE_S, arrivals.HALF_LIFE_S

    def near(s: float) -> int:
        return int(np.sum(np.abs(at - s) < 120))

    assert near(peak + 200 + half_life) / near(peak + 200) == pytest.approx(0.5, rel=0.1)
    assert near(peak / 2) / near(peak - 120) == pytest.approx(0.5 / 0.8, rel=0.15)
    day = arrivals.day_at_a_fair(60_000, draw)
    hours, rates = np.array(arrivals.FAIR).T
    seen, edges = np.histogram(day / 3_600 + arrivals.FAIR_OPENS_H, 32)
    wanted = np.interp((edges[1:] + edges[:-1]) / 2, hours, rates)
    assert np.corrcoef(seen, wanted)[0, 1] > 0.99


def test_a_trace_is_asked_at_its_moments() -> None:
    trace = event.read(event.FILE)[:300]
    outcome = simulate(visits.from_trace(trace, Mix()), Setup(H100))
    assert [call.asked for call in outcome.calls] == [one.arrival_s for one in trace]
    assert outcome.fates == {"engine": 300}


def test_the_papers_table_comes_back_from_its_profile() -> None:
    table = measured.BENCHES["h100-meraliongpu"].cells
    assert error(H100, table) < 0.08
    ttft, itl = bench(H100, next(cell for cell in table if (cell.audio_s, cell.at_once) == (30, 16)))
    rate = 16 * measured.PAPER_TOKENS / (ttft + (measured.PAPER_TOKENS - 1) * itl) * 1_000
    assert rate == pytest.approx(867, rel=0.05)  # tokens a second, section 2.2


@pytest.mark.parametrize("name", measured.BENCHES)
def test_no_small_step_makes_a_committed_profile_fit_better(name: str) -> None:
    one, committed = measured.BENCHES[name], profile.load(name).profile
    best = error(committed, one.cells)
    for figure, bound in one.bounds.items():
        for sign in (1, -1):
            moved = getattr(committed, figure) + sign * 0.01 * (bound.high - bound.low)
            if bound.low <= moved <= bound.high:
                elsewhere = committed.model_copy(update={figure: moved})
                assert error(elsewhere, one.cells) > best - 0.002, figure


def test_a_fit_finds_figures_again() -> None:
    truth = H100.model_copy(update={"read_ms": 40.0, "step_ms_per_answer": 0.7, "stall": 0.5})
    cells = []
    for audio_s in (30.0, 60.0):
        for many in (1, 4, 16):
            cell = Cell(audio_s, many, 1.0, 1.0, 60, 60)
            ttft, itl = bench(truth, cell)
            cells.append(replace(cell, ttft_ms=ttft, itl_ms=itl))
    bounds = {
        "read_ms": Bound(20.0, 5.0, 80.0),
        "step_ms_per_answer": Bound(0.2, 0.0, 2.0),
        "stall": Bound(0.1, 0.0, 0.9),
    }
    start = H100.model_copy(update={"warm_ms": 0.0})
    found = fit(start, bounds, cells)
    assert error(found, cells) < 0.02
    assert found.read_ms == pytest.approx(40.0, rel=0.1)
    with pytest.raises(ProfileError, match="Measure some"):
        fit(start, bounds, [])


def test_a_calibration_makes_a_profile_that_gives_its_cells_back() -> None:
    truth = PLAIN.model_copy(
        update={
            "places": 2,
            "reads_at_once": 2,
            "read_ms": 450.0,
            "read_ms_per_s": 105.0,
            "warm_ms": 400.0,
            "warm_ms_per_s": 15.0,
            "step_ms": 13.3,
            "step_ms_per_answer": 6.0,
            "stall": 0.5,
            "drag": 0.4,
            "encoder_cache_chunks": 256,
        }
    )
    cells = []
    for audio_s in check.LENGTHS:
        for many, warm in ((1, False), (1, True), (2, False)):
            cell = Cell(audio_s, many, 1.0, 1.0, check.TOKENS, 40, warm)
            ttft, itl = bench(truth, cell)
            cells.append(replace(cell, ttft_ms=ttft, itl_ms=itl))
    alone = tuple((s, truth.reading_s(s, False) * f) for s in check.LENGTHS for f in (0.9, 1.0, 1.1))
    found = check.calibrated(Measured(tuple(cells), alone))
    assert error(found, cells) < 0.05
    assert 0.05 < found.spread < 0.15
    load = workload.draw(check.rate_for(found, 2), 60.0, 1)
    a, b = (simulate(workload.varied(load, 0.0, 0), Setup(one, 2)).ttft() for one in (truth, found))
    assert quantile(a, 0.5) == pytest.approx(quantile(b, 0.5), rel=0.1)


def test_the_fewest_instances_are_the_fewest() -> None:
    some = [visits.draw("class", 200, seed, Mix()) for seed in (1, 2)]
    setup = slow(read_ms=300.0, warm_ms=200.0, places=8)
    bar = Bar(ttft_s=2.0)
    count, outcomes = sizing.smallest(some, setup, bar)
    assert count > 1
    assert bar.met(outcomes)
    assert not all(bar.met([simulate(one, replace(setup, instances=count - 1))]) for one in some)
    carried = sizing.most(
        lambda visitors, seed: visits.draw("class", visitors, seed, Mix()), setup, bar, 20, 1
    )
    assert bar.met([simulate(visits.draw("class", carried, 1, Mix()), setup, 1)])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[mine]\nstep_ms = 10.0\n", "mine.step_ms must say a value and where it comes from"),
        ('[mine]\nstep_ms = { value = 0.0, source = "me" }\n', "mine: places: Field required"),
        ("{full}\nstall = { value = 1.0, source = 'me' }\n", "mine: stall: Input should be less than 1"),
        ("{full}\nspeed = { value = 1.0, source = 'me' }\n", "mine: speed: Extra inputs"),
        (
            "{full}\nwarm_ms = { value = 99.0, source = 'me' }\n",
            "a sound that was met before cannot take longer",
        ),
        (
            "{full}\nstep_ms = { value = nan, source = 'me' }\n",
            "mine: step_ms: Input should be a finite number",
        ),
        ("[other]\n", "has no profile 'mine'. It has: other."),
        ("[mine\n", "is not valid TOML"),
    ],
)
def test_a_bad_profile_is_refused_with_words(table: str, says: str, tmp_path: Path) -> None:
    lines = [f"{key} = {{ value = {value}, source = 'me' }}" for key, value in PLAIN.model_dump().items()]
    added = table.partition("\n")[2].partition(" ")[0]
    full = "\n".join(["[mine]", *(line for line in lines if not line.startswith(f"{added} "))])
    file = tmp_path / "mine.toml"
    file.write_text(table.replace("{full}", full), encoding="utf-8")
    with pytest.raises(ProfileError, match=says.replace("[", r"\[").replace(".", r"\.")):
        profile.load("mine", file)


def test_assumptions_can_be_changed_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "visits.toml"
    file.write_text("speak = 1.0\npress_samples = 0.0\n")
    some = visits.draw("class", 20, 1, visits.mix(file))
    assert not any(question.public for visit in some for question in visit.questions)
    for wrong, says in (
        ("speek = 1.0", "speek: Extra inputs"),
        ("samples = [3, 1]", "the fewest and the most"),
    ):
        file.write_text(wrong)
        with pytest.raises(ProfileError, match=says):
            visits.mix(file)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.capacity", *words], capture_output=True, text=True, timeout=60
    )


def test_the_command_says_how_many_and_what_is_wrong() -> None:
    sized = command("size", "--shape", "class", "--seeds", "1")
    assert sized.stdout.startswith("1 x h100-meraliongpu"), sized.stderr
    assert "40 visitors" in sized.stdout
    wrong = command("run", "--profile", "b200")
    assert wrong.returncode == 2
    assert "has no profile 'b200'. It has: cpu-embedded, cpu-vllm, h100-meraliongpu." in wrong.stderr


def test_the_committed_figures_name_their_commands_and_pictures() -> None:
    for name, words in (("capacity", "report --write"), ("capacity_check", "check --seconds ")):
        text = (report.RESULTS / f"{name}.md").read_text("utf-8")
        assert f"\n    python -m benchmarks.capacity {words}" in text
        for line in text.splitlines():
            if line.startswith("!["):
                picture = report.RESULTS / line.partition("](")[2].rstrip(")")
                assert picture.read_bytes()[:4] == b"\x89PNG"
