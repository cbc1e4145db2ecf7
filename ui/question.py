"""Step 2: the clip, or the two that are compared, the task chips, the prompt in own words, and Ask."""

from __future__ import annotations

import streamlit as st

from ui.asking import ask
from ui.chips import chips, ready_questions
from ui.client import Client
from ui.clip import Clip
from ui.clip_panel import PLAYER, clip_panel
from ui.kiosk import is_kiosk
from ui.language import t
from ui.playground_state import Playground
from ui.sampling import sampling_controls
from ui.session import session
from ui.tasks import MAX_PROMPT_CHARACTERS
from ui.transcript_view import TranscriptView, begin, transcript_button, transcript_view
from ui.wire import ModelCard


def question(here: Playground, client: Client, model: ModelCard | None) -> TranscriptView | None:
    """Show everything that makes a question; return the transcript that is being written, to be followed."""
    if here.long is not None:
        return _long(here, here.long, client, model)
    transcript = _clips(here, client, model)
    chips(here, model)
    # Given as the default as well, and at each run: a browser that is still loading the box when the next run
    # comes would else show it empty.
    here.prompt = st.text_area(
        t("question.label"),
        str(st.session_state.get("prompt", here.prompt)),
        key="prompt",
        height=68,
        help=t("question.most", most=f"{MAX_PROMPT_CHARACTERS:,}"),
    )
    if here.editing is not None:
        st.caption(t("question.editing"))
        st.button(
            t("question.stop_editing"),
            key="stop_editing",
            type="tertiary",
            icon=":material/edit_off:",
            on_click=_stop_editing,
        )
    if here.problem:
        st.error(here.problem, icon=":material/info:")
    st.button(
        t("question.ask" if here.editing is None else "question.ask_instead"),
        key="ask",
        type="primary",
        icon=":material/send:",
        width="stretch",
        disabled=here.busy or model is None,
        on_click=ask,
        args=(client, model),
    )
    ready_questions(here, model)
    _more(here, client, model)
    if not is_kiosk():
        sampling_controls(here)
    return transcript


def _clips(here: Playground, client: Client, model: ModelCard | None) -> TranscriptView | None:
    """Show the clip in hand with its transcript, or the two that are compared."""
    if len(here.clips) > 1:
        first, second = here.clips
        clip_panel(first, number=1)
        clip_panel(second, number=2)
        st.button(
            t("clip.compare_no_more"),
            key="second_clip",
            type="tertiary",
            icon=":material/close:",
            on_click=_keep_only,
            args=(second,),
        )
        return None
    if not here.clips:
        clip_panel(None)
        return None
    clip = here.clips[0]
    clip_panel(clip, transcript=here.transcript)
    if here.wants_second:
        st.info(t("clip.choose_second"), icon=":material/library_music:")
    return transcript_view(here, client, model, clip, PLAYER)


def _more(here: Playground, client: Client, model: ModelCard | None) -> None:
    """Show what else can be done with the clip."""
    if len(here.clips) != 1:
        return
    with st.container(key="clip_actions", horizontal=True, gap="small"):
        st.button(
            t("clip.compare_cancel" if here.wants_second else "clip.compare"),
            key="second_clip",
            type="tertiary",
            icon=":material/close:" if here.wants_second else ":material/compare_arrows:",
            on_click=_want_second,
        )
        if here.transcript is None:
            transcript_button(here, client, model, here.clips[0])


def _long(
    here: Playground, recording: Clip, client: Client, model: ModelCard | None
) -> TranscriptView | None:
    """Show a recording that is too long to be asked about, and what is said in it."""
    if here.transcript is None and model is not None:
        begin(here, client, model, recording)
    clip_panel(recording, transcript=here.transcript)
    st.caption(t("transcript.only"))
    return transcript_view(here, client, model, recording, PLAYER)


def _want_second() -> None:
    visit = session()
    here = visit.part(Playground)
    here.wants_second = not here.wants_second
    if here.wants_second:
        visit.go_to("step_1")


def _keep_only(clip: Clip) -> None:
    session().part(Playground).keep_only(clip)


def _stop_editing() -> None:
    session().part(Playground).editing = None
