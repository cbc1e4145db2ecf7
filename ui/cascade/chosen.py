"""The text model that a visitor chose: its row, its model, its key, and whether it can be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from ui.cascade.cost import ENGINE_OF_OURS, Bill, listening
from ui.cascade.endpoints import TextModel, address_problem, endpoints, is_loopback
from ui.cascade.secret import Secret
from ui.cascade.state import CascadeState
from ui.client import Client
from ui.connection import chat_models
from ui.kiosk import is_kiosk
from ui.language import t
from ui.settings import ENDPOINTS, settings
from ui.wire import ClientError, ModelCard

if TYPE_CHECKING:
    from ui.cascade.external import Target

OWN = "another address"  # no row can be called that: the visitor says where


@dataclass(frozen=True)
class Chosen:
    """A text model that can be asked, from any thread."""

    title: str
    bill: Bill
    target: Callable[[Client], Target]


def chosen(state: CascadeState) -> Chosen | str:
    """Return what the visitor chose, or the sentence that says why it cannot be asked."""
    name, row = name_of(state), row_of(state)
    if name == OWN and (not state.address or address_problem(state.address)):
        return t("cascade.bad_address")
    own_key = state.keys.get(key_for(state))
    key = own_key or row.host_key()
    if row.key_env and key is None:
        return t("cascade.no_key", title=row.title)
    if own_key and row.address.startswith("http://") and not is_loopback(row.address):
        return t("cascade.key_in_clear")
    card = None if row.address else local_card()
    if not row.address and card is None:
        return t("cascade.nobody_here")
    model = (state.model_names.get(name, "") if model_is_open(state) else "") or row.model
    bill = listening(card) if card else Bill(row, row.here)
    return Chosen(title_of(name), bill, lambda client: _target(client, row, model, key, card, name != OWN))


def names() -> list[str]:
    """Return the rows that can be chosen from; on a shared screen none that wants a key or an address.

    What comes with the demo names programs beside the pages: for who sits there alone, since from elsewhere
    they would be the visitor's own machine by their address, and the server's in truth.
    """
    rows = endpoints().text
    if settings().endpoints == ENDPOINTS and (is_kiosk() or not _sits_here()):
        rows = {name: row for name, row in rows.items() if not (row.address and row.here)}
    if is_kiosk():
        ready = [name for name, row in rows.items() if not row.key_env or row.host_key()]
        return ready or list(rows)
    return [*rows, *([OWN] if settings().visitor_endpoints else [])]


def _sits_here() -> bool:
    """Whether the page was opened on the machine that serves it."""
    return not st.context.url or is_loopback(st.context.url)


def name_of(state: CascadeState) -> str:
    """Return the chosen row's name."""
    known = names()
    return state.row if state.row in known else known[0]


def row_of(state: CascadeState) -> TextModel:
    """Return the chosen row; for an address of the visitor's own, one made for it."""
    name = name_of(state)
    if name != OWN:
        return endpoints().text[name]
    well = state.address and not address_problem(state.address)
    return TextModel(title=OWN, address=state.address if well else "https://nowhere.invalid/v1", usage=False)


def title_of(name: str) -> str:
    """Return a row's name as visitors read it."""
    if name == OWN:
        return t("cascade.own_address")
    row = endpoints().text[name]
    if row.address:
        return row.title or name
    card = local_card()
    named = row.title if card is None or card.engine == ENGINE_OF_OURS else ""
    return t("cascade.words_only", title=named or (card.title if card else name))


def model_is_open(state: CascadeState) -> bool:
    """Whether the visitor may name the model: not where the host chose one and pays for it."""
    row = row_of(state)
    return bool(row.address) and (not row.model or key_for(state) in state.keys)


def key_for(state: CascadeState) -> str:
    """Return what a key is for: it is never sent to an address that it was not typed for."""
    return f"{OWN} {state.address}" if name_of(state) == OWN else name_of(state)


def local_card() -> ModelCard | None:
    """Return the model of this demo that answers from words alone: one of our own, if there is one."""
    try:
        able = [card for card in chat_models() if card.can("chat").supported]
    except ClientError:
        return None
    return next((card for card in able if card.engine == ENGINE_OF_OURS), able[0] if able else None)


def _target(
    client: Client, row: TextModel, model: str, key: Secret | None, card: ModelCard | None, any_peer: bool
) -> Target:
    # Loaded here, where an answer is asked for: the client takes a second.
    from ui.cascade.external import Target

    address, headers = (row.address, {}) if card is None else client.for_openai()
    return Target(
        address=address,
        model=model or (card.id if card else ""),
        key=key,
        headers=headers,
        limit_field=row.limit_field,
        max_tokens=row.max_tokens,
        temperature=row.temperature,
        usage=row.usage,
        first_word_s=row.first_word_s,
        silence_s=row.silence_s,
        any_peer=any_peer,
    )
