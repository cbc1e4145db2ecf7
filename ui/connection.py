"""The controller that this server's pages talk to, and what it offers now."""

from __future__ import annotations

import time

import httpx
import streamlit as st

from ui.cascade.secret import Secret
from ui.client import Client, new_http
from ui.host.desk import Desk
from ui.local_backend import LocalBackend
from ui.session import session
from ui.settings import ROOT, settings
from ui.terminal import end_with_terminal
from ui.visitor import Visitor
from ui.wire import ClientError, ModelCard

MODELS_TTL_S = 2  # a model that came up or went down shows within this time
MODEL_START_LIMIT_S = 90.0
POLL_S = 0.5


@st.cache_resource(show_spinner=False)
def _local_backend() -> LocalBackend:
    end_with_terminal()
    return LocalBackend(ROOT, settings().start_timeout_s, secret=settings().secret)


@st.cache_resource(show_spinner=False)
def _http() -> httpx.Client:
    return new_http()


def client() -> Client:
    """Return the client of this visit; without MERALION_BACKEND_URL it starts a controller of our own."""
    name, url = session().visitor, settings().backend_url
    if url:
        return Client(lambda: url, Visitor(name, settings().secret), _http(), local=False)
    backend = _local_backend()
    return Client(backend.url, Visitor(name, backend.secret), _http(), local=True)


def desk(key: Secret) -> Desk:
    """Return the host's way to the same controller."""
    url = settings().backend_url
    return Desk((lambda: url) if url else _local_backend().url, _http(), key)


@st.cache_data(ttl=MODELS_TTL_S, max_entries=1, show_spinner=False)
def _models(_client: Client) -> list[ModelCard]:
    return _client.models()


def all_models() -> list[ModelCard]:
    """Return every model that the controller knows, the default ones first. Raises ClientError."""
    return sorted(_models(client()), key=lambda card: not card.default)


def chat_models() -> list[ModelCard]:
    """Return the models that can be asked about a clip, the default one first. Raises ClientError."""
    return [card for card in all_models() if card.kind == "chat"]


def wait_until_up(client: Client, model_id: str) -> None:
    """Wait while a model is starting. Raises ClientError when that takes too long."""
    deadline = time.monotonic() + MODEL_START_LIMIT_S
    while any(card.id == model_id and card.state == "starting" for card in client.models()):
        if time.monotonic() > deadline:
            raise ClientError(
                "The model is still starting. Wait a moment, then press Ask again.",
                "model_starting",
                retryable=True,
            )
        time.sleep(POLL_S)
