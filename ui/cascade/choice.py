"""The choice of the text model that answers from the words: which one, where it is, and by whose key."""

from __future__ import annotations

import html

import streamlit as st

from ui.cascade.chosen import OWN, key_for, model_is_open, name_of, names, row_of, title_of
from ui.cascade.endpoints import address_problem
from ui.cascade.secret import Secret
from ui.cascade.state import CascadeState
from ui.cascade.widgets import keep
from ui.kiosk import is_kiosk
from ui.language import t
from ui.session import session

MAX_MODEL_CHARACTERS = 200


def text_model_choice(state: CascadeState) -> None:
    """Show the choice, and what the chosen one needs to be told."""
    name = name_of(state)
    keep("external_model", name)
    st.selectbox(
        t("cascade.text_model"),
        names(),
        names().index(name),
        format_func=title_of,
        key="external_model",
        on_change=_choose,
    )
    if name == OWN:
        st.text_input(
            t("cascade.address"),
            keep("external_address", state.address),
            key="external_address",
            placeholder="https://…/v1",
            on_change=_set_address,
        )
    row = row_of(state)
    if model_is_open(state):
        st.text_input(
            t("cascade.model_there"),
            keep("external_model_name", state.model_names.get(name, "")),
            key="external_model_name",
            placeholder=row.model or t("cascade.model_first"),
            on_change=_set_model_name,
        )
    if (name == OWN or row.key_env) and not is_kiosk():
        _key_field(state)
    where = state.address if name == OWN and state.address else title_of(name)
    note = t("cascade.stays") if row.here else t("cascade.goes", title=where)
    st.html(f'<p class="m-note">{html.escape(note)}</p>')


def take_key(state: CascadeState) -> None:
    """Take the key out of its field and keep it as a secret; the field starts empty again."""
    typed = str(st.session_state.pop(_field(state), "") or "").strip()
    if not typed:
        return
    state.key_fields += 1
    try:
        state.keys[key_for(state)] = Secret(typed)
        state.problem = ""
    except ValueError:
        state.problem = t("cascade.bad_key")


def _key_field(state: CascadeState) -> None:
    row, has_key = row_of(state), key_for(state) in state.keys
    place = t("cascade.key_kept") if has_key else t("cascade.key_of_host") if row.host_key() else ""
    with st.container(key="external_key", horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input(
            t("cascade.key", title=title_of(name_of(state))),
            key=_field(state),
            type="password",
            autocomplete="off",
            placeholder=place,
            help=t("cascade.key_help"),
            on_change=_take_key,
        )
        if has_key:
            st.button(t("cascade.forget_key"), key="forget_key", on_click=_forget_key)


def _field(state: CascadeState) -> str:
    return f"external_key_{state.key_fields}"


def _choose() -> None:
    state = _state()
    state.row, state.problem = str(st.session_state["external_model"]), ""


def _set_address() -> None:
    state = _state()
    state.address = str(st.session_state["external_address"]).strip().rstrip("/")
    state.problem = t("cascade.bad_address") if state.address and address_problem(state.address) else ""


def _set_model_name() -> None:
    state = _state()
    name = str(st.session_state["external_model_name"]).strip()
    state.model_names[name_of(state)] = name[:MAX_MODEL_CHARACTERS]


def _take_key() -> None:
    take_key(_state())


def _forget_key() -> None:
    state = _state()
    state.keys.pop(key_for(state), None)


def _state() -> CascadeState:
    return session().part(CascadeState)
