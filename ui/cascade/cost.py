"""What a stage costs, by the host's prices: never guessed, and said where it is not known."""

from __future__ import annotations

from dataclasses import dataclass

from ui.cascade.endpoints import Price, endpoints
from ui.cascade.meter import Meter
from ui.language import t
from ui.wire import ModelCard, Usage

MILLION = 1_000_000
ENGINE_OF_OURS = "embedded"  # started by this demo, where it runs


@dataclass(frozen=True)
class Bill:
    """What a model charges, and whether it runs on this computer."""

    price: Price
    here: bool = False


def listening(card: ModelCard) -> Bill:
    """Return what a model of /v1/models charges."""
    here = card.engine == ENGINE_OF_OURS
    return Bill(endpoints().audio.get(card.id) or Price(free=here), here)


def amount(price: Price, usage: Usage | None, audio_s: float) -> float | None:
    """Return the cost in the price's currency, or None where it is not known."""
    if price.free:
        return 0.0
    by_token = (price.input_per_million, price.output_per_million)
    if by_token == (None, None) and price.per_audio_minute is None:
        return None
    cost = (price.per_audio_minute or 0.0) * audio_s / 60
    if by_token != (None, None):
        if usage is None:
            return None
        cost += usage.read * (by_token[0] or 0.0) / MILLION + usage.written * (by_token[1] or 0.0) / MILLION
    return cost


def cost_line(bill: Bill, meter: Meter, audio_s: float = 0.0) -> str:
    """Say what a stage cost, in the visitor's language."""
    cost = amount(bill.price, meter.usage, audio_s)
    if bill.price.free:
        return t("cascade.free_here" if bill.here else "cascade.free")
    if cost is None:
        return t("cascade.cost_unknown")
    return t("cascade.about", amount=f"{bill.price.currency}{figure(cost)}")


def figure(cost: float) -> str:
    """Return a sum of money with two figures that mean something: "1.25", "0.013", "0.000041"."""
    if cost >= 1 or cost == 0:
        return f"{cost:.2f}"
    digits = 1
    while cost * 10**digits < 1:
        digits += 1
    return f"{cost:.{digits + 1}f}"
