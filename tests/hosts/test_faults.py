"""The most telling faults of `benchmarks/hosts.py`, with engines that come back faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.hosts.faults import ONE_CONTROLLER, PAGES, TWO_CONTROLLERS, Fault, run
from tests.hosts.system import STREAMS, System

QUICK = {"MERALION_SLOW_START_S": "1", "MERALION_BREAKER_OPEN_S": "1"}
ROLLING = {"MERALION_SHUTDOWN_GRACE_S": "20"}

pytestmark = pytest.mark.slow


def named(table: Sequence[Fault], *names: str) -> list[Fault]:
    found = {fault.name: fault for fault in table}
    return [found[name] for name in names]


def check(system: System, fault: Fault) -> None:
    """No answer is lost that could be saved, none ends as if it were whole, and nothing is left running."""
    result = run(system, fault)
    assert result.struck > STREAMS // 2
    assert not result.lost
    assert result.whole + result.told.total() == result.asked
    assert bool(result.told) == bool(fault.may_tell)
    assert result.left_over == 0


@pytest.fixture(scope="module")
def one_controller() -> Iterator[System]:
    with System(pages=True, settings=QUICK) as system:
        yield system


@pytest.fixture(scope="module")
def two_controllers() -> Iterator[System]:
    with System(controllers=2, settings={**QUICK, **ROLLING}) as system:
        yield system


FAULTS = named(
    ONE_CONTROLLER,
    "engine 0 killed, started again",
    "engine 0 cut off, silently",
    "both engines killed, started again",
    "Redis cut off, silently",
    "clients cut off, silently",
    "controller killed, started again",
)
SHARED = named(
    TWO_CONTROLLERS,
    "controller 0 killed",
    "controller 0 cut off from all, silently",
    "controller 0 told to end, as in a rolling update",
)
BY_PAGES = named(PAGES, "pages cut off from the controller, silently", "pages killed, started again")


@pytest.mark.parametrize("fault", [*FAULTS, *BY_PAGES], ids=lambda fault: fault.name)
def test_one_controller(one_controller: System, fault: Fault) -> None:
    check(one_controller, fault)


@pytest.mark.parametrize("fault", SHARED, ids=lambda fault: fault.name)
def test_two_controllers_whose_streams_are_followed_from_the_other(
    two_controllers: System, fault: Fault
) -> None:
    check(two_controllers, fault)


def test_a_connection_that_was_kept_for_a_while_takes_the_next_question(one_controller: System) -> None:
    """On a link that loses packets an answer arrives long after the controller has let go of it."""
    client = one_controller.network.hosts["client"]
    url = f"http://{one_controller.address('controller0')}/healthz"
    limits = httpx.Limits(keepalive_expiry=60)
    with httpx.Client(trust_env=False, limits=limits, timeout=10) as http:
        first = client.do(lambda: http.get(url).extensions["network_stream"].get_extra_info("client_addr"))
        check(one_controller, named(ONE_CONTROLLER, "engine 0 hangs")[0])
        again = client.do(lambda: http.get(url).extensions["network_stream"].get_extra_info("client_addr"))
    assert again == first
