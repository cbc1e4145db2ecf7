"""What the host of an event sees: who waits, what each engine does, and what went wrong, in plain words.

Nobody has a name in it, and nothing of what is asked or answered stands there. With several controllers it is
this one's view, but for what the host has decided.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from backend.instance import Instance

if TYPE_CHECKING:
    from backend.controller import Controller

# For the host; what the visitor was told stands in errors.py and on the pages.
_SENTENCES = {
    "queue_full": "More people asked than can wait. Let fewer in, or add an engine.",
    "queue_yours_full": "Somebody asked again while several of their questions waited. Nothing to do.",
    "queue_timeout": "Somebody waited in vain for a place. Add an engine, or pause for a moment.",
    "rate_limited": "Somebody asked very often within a minute. Nothing to do.",
    "model_starting": "Somebody asked while the model was starting. It comes up by itself.",
    "model_unavailable": "No engine could answer. Look at them, and start again what does not come up.",
    "uploads_busy": "More recordings came at once than fit in memory. It passes by itself.",
    "decoder_busy": "More recordings came at once than can be read. It passes by itself.",
    "paused": "Somebody asked while the demo was paused.",
    "started_over": "An answer was ended when all started over.",
    "stopping": "An answer was ended because the controller stopped.",
    "host_key_wrong": "Somebody typed a wrong host key.",
    "host_key_busy": "Somebody guesses at the host key. It cannot be guessed; look who it is.",
    "answer_interrupted": "An engine stopped in the middle of an answer. Look at the engines.",
    "answer_diverged": "An engine stopped in the middle of an answer. Look at the engines.",
    "upstream_unreachable": "An engine cannot be reached. Look at its machine and the network.",
    "upstream_broke": "An engine broke off. If it goes on, start it again.",
    "upstream_timeout": "An engine did not answer in time. If it goes on, start it again.",
    "upstream_key_refused": "An engine does not accept the controller's key. Mend it in the registry.",
    "visitor_invalid": "Pages and controller have not the same MERALION_VISITOR_SECRET. Give them one.",
    "internal": "A mistake of the demo's own. The log says where; the visitor can ask again.",
}
_SOUND = "Somebody sent a recording that cannot be used, and was told why. Nothing to do."
_OTHER = "Somebody was told what to do instead. If it comes often, the log says more under this code."


def card(house: Controller) -> dict[str, Any]:
    """Return what `/v1/host` says."""
    return {
        "object": "host",
        "uptime_s": round(time.time() - house.started_at, 1),
        "paused": house.host.paused,
        "visits_epoch": house.host.epoch,
        "waiting": [
            {"place": place, "waited_s": round(seconds, 1), "model": house.rows[model].title}
            for model, pool in house.pools.items()
            if model in house.rows
            for place, seconds in pool.queue()
        ],
        "answering": [
            {"instance": instance, "seconds": round(seconds, 1)}
            for instance, seconds in house.flights.under_way()
        ],
        "instances": [_instance(house, one) for one in house.fleet],
        "cache": _cache(house),
        "files": {"count": house.files.count},
        "errors": [
            {"code": code, "count": count, "last_s": round(seconds, 1), "sentence": sentence(code)}
            for code, count, seconds in house.errors
        ],
        "redis": "off" if house.link is None else "up" if house.link.up else "away",
    }


def sentence(code: str) -> str:
    """Say what an error's code means to the host."""
    return _SENTENCES.get(code) or (_SOUND if code.startswith("audio_") else _OTHER)


def _cache(house: Controller) -> dict[str, Any]:
    hits, misses = house.cache.stats.hits, house.cache.stats.misses
    rate = round(hits / (hits + misses), 3) if hits + misses else None
    return {"hits": hits, "misses": misses, "hit_rate": rate}


def _instance(house: Controller, one: Instance) -> dict[str, Any]:
    titles = [
        house.rows[model].title
        for model, pool in house.pools.items()
        if model in house.rows and one in pool.instances
    ]
    condition, words = _condition(one)
    return {
        "name": one.name,
        "models": titles,
        "condition": condition,
        "sentence": words,
        "busy": one.busy,
        "places": one.places,
        "can_restart": one.supervised,
    }


def _condition(one: Instance) -> tuple[str, str]:
    """Say how an instance is: in one word for programs, and in a sentence."""
    answers = f"It gives {one.busy} of {one.places} answers at once."
    if one.draining:
        return "leaving", f"It is no longer in the registry and leaves when its answers have ended. {answers}"
    if one.state == "starting":
        return "starting", one.detail or "It is starting."
    if one.state == "down":
        return "down", one.detail or "It does not respond."
    if not one.breaker.lets_through:
        return "resting", "It failed several times in a row, rests for a moment, and is tried again then."
    if one.busy >= one.places:
        return "full", f"All of its {one.places} places are taken; others wait."
    return "ready", answers
