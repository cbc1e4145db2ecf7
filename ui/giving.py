"""Giving a recording to the host, and taking it back: offered only where the host asks for recordings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from ui.clip import Clip
from ui.donations import Consent, Donations, read_receipt, show_receipt
from ui.language import language, t
from ui.records import NotKept
from ui.retention import retain
from ui.session import Part, Session, session
from ui.settings import settings

Word = tuple[str, str]  # success, error or info; and the key of its words


@dataclass
class Giving(Part):
    """What a visitor has given in this visit: receipts by clip."""

    receipts: dict[str, str] = field(default_factory=dict)  # file id -> receipt
    word: Word | None = None  # what came of the last press, said once
    typed: int = 0  # receipts that were typed; a counter, which empties the field

    def clear(self) -> None:
        """Forget the receipts, and not the recordings: the visitor has been told how to delete them."""
        self.receipts.clear()


def donations() -> Donations | None:
    """Return where donations go, or None where the host takes none."""
    host = settings()
    if not host.donations_dir:
        return None
    kept = Donations(Path(host.donations_dir).expanduser(), int(host.donations_mb * 2**20))
    retain(kept, host.donations_days)
    return kept


def give(visit: Session, clip: Clip | None) -> None:
    """Offer to give the visitor's own recording: the consent in plain words, and a tick each time."""
    if donations() is None or clip is None or clip.origin == "sample":
        return
    mine = visit.part(Giving)
    receipt = mine.receipts.get(clip.file_id, "")
    with (
        st.container(key="giving"),
        st.expander(t("giving.title"), icon=":material/volunteer_activism:", expanded=bool(receipt)),
    ):
        _say(mine)
        if receipt:
            st.text(t("giving.receipt", receipt=show_receipt(receipt)))
            st.button(
                t("giving.delete"),
                key="giving_delete",
                icon=":material/delete:",
                on_click=_delete,
                args=(receipt,),
            )
            return
        consent = _consent()
        st.text(consent.text)
        # A key of the clip: each recording is agreed to by itself.
        agreed = st.checkbox(t("giving.agree"), key=f"giving_agree_{clip.file_id}")
        st.button(
            t("giving.give"), key="giving_give", disabled=not agreed, on_click=_give, args=(clip, consent)
        )


def take_back() -> None:
    """Let anybody delete what a receipt leads to, also on another day."""
    if donations() is None:
        return
    mine = session().part(Giving)
    key = f"giving_receipt_{mine.typed}"
    with (
        st.container(key="taking_back"),
        st.expander(t("giving.delete_title"), icon=":material/delete:"),
    ):
        if not mine.receipts:
            _say(mine)
        st.text_input(t("giving.delete_field"), key=key, max_chars=64, autocomplete="off")
        st.button(t("giving.delete"), key="taking_back_delete", on_click=_delete_typed, args=(key,))


def _consent() -> Consent:
    return Consent(t("giving.consent", folder=settings().donations_dir), language())


def _give(clip: Clip, consent: Consent) -> None:
    mine, kept = session().part(Giving), donations()
    if kept is None or clip.file_id in mine.receipts:
        return
    try:
        mine.receipts[clip.file_id] = kept.keep(clip.wav, clip.seconds, consent)
        mine.word = ("success", "giving.thanks")
    except NotKept:
        mine.word = ("error", "giving.not_kept")


def _delete_typed(key: str) -> None:
    _delete(str(st.session_state.get(key, "")))
    session().part(Giving).typed += 1


def _delete(receipt: str) -> None:
    mine, kept = session().part(Giving), donations()
    if kept is None:
        return
    try:
        there = kept.delete(receipt)
        mine.word = ("success", "giving.deleted") if there else ("info", "giving.not_there")
    except NotKept:
        mine.word = ("error", "giving.not_deleted")
        return
    read = read_receipt(receipt)
    mine.receipts = {clip: own for clip, own in mine.receipts.items() if own != read}


def _say(mine: Giving) -> None:
    """Say once what came of the last press."""
    if mine.word is not None:
        (kind, key), mine.word = mine.word, None
        say = {"success": st.success, "error": st.error, "info": st.info}[kind]
        say(t(key))
