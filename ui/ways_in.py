"""Step 1: the three ways to a clip, equal and all at once."""

from __future__ import annotations

import json

import streamlit as st

from ui import samples
from ui.answer_place import say_problem
from ui.clip import Origin
from ui.language import t
from ui.long_clip import offer_to_write_down
from ui.recorder import microphone_problem, recorder
from ui.sample_cards import sample_cards
from ui.session import Pending, Session, session
from ui.settings import settings
from ui.wire import ClientError

SIMPLE_RECORDER = "simple_recorder"
WAV_HEADER_BYTES = 44
MAX_UPLOAD_MB = 25


def ways_in(visit: Session) -> None:
    """Show the sample picker, the uploader and the recorder."""
    with st.container(key="way_sample", gap="small"):
        st.markdown(f"### :material/library_music: {t('ways.sample')}")
        sample_cards(visit.clip, _take_sample)
        _problem(visit, "sample")
    with st.container(key="way_upload", gap="small"):
        st.markdown(f"### :material/upload_file: {t('ways.upload')}")
        with st.container(key="upload"):
            _uploader(visit)
        _problem(visit, "upload")
    with st.container(key="way_record", gap="small"):
        st.markdown(f"### :material/mic: {t('ways.microphone')}")
        _microphone(visit)


def _problem(visit: Session, origin: Origin) -> None:
    """Say why what came in this way cannot be the clip, and what else can be done with it."""
    problem = visit.clip_problem
    if not problem or visit.clip_problem_from != origin:
        return
    if isinstance(problem, ClientError):
        say_problem(problem)
    else:
        st.error(problem, icon=":material/error:")
    if visit.too_long is not None:
        offer_to_write_down(visit.too_long)


def _uploader(visit: Session) -> None:
    key = visit.widget_key("upload_file")
    # Streamlit's own words on the button and beside it are English: the style sheet shows these instead.
    choose, drop = (json.dumps(t(key), ensure_ascii=False) for key in ("ways.choose_file", "ways.drop"))
    st.html(f"<style>.stApp {{ --m-choose-file: {choose}; --m-drop: {drop}; }}</style>")
    # Any file may be offered: whether it holds sound is judged by its content, and answered in a sentence.
    st.file_uploader(t("ways.any_file", most=MAX_UPLOAD_MB), key=key, on_change=_take_upload, args=(key,))


def _microphone(visit: Session) -> None:
    problem = microphone_problem()
    if problem:
        st.caption(f":material/mic_off: {problem}")
        return
    simple = bool(st.session_state.get(SIMPLE_RECORDER))
    with st.container(key="record", horizontal=True, vertical_alignment="center", gap="small"):
        recorder(visit, simple, settings().pause_s, _take_recording)
    _problem(visit, "microphone")
    st.toggle(t("ways.simple_recorder"), key=SIMPLE_RECORDER)


def _take_sample(sample: samples.Sample) -> None:
    data = sample.path.read_bytes()
    session().take(Pending(data, sample.path.name, "sample", sample.title, sample.id))


def _take_upload(key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    pending = Pending(file.getvalue(), file.name, "upload", file.name)
    if file.size > MAX_UPLOAD_MB * 2**20:
        sentence = t("ways.too_large", size=f"{file.size / 2**20:.0f}", most=MAX_UPLOAD_MB)
        session().refuse(sentence, "upload", too_long=pending)
    else:
        session().take(pending)


def _take_recording(wav: bytes) -> None:
    visit = session()
    if len(wav) <= WAV_HEADER_BYTES:
        visit.refuse(t("ways.no_sound"), "microphone")
    else:
        visit.take(Pending(wav, "recording.wav", "microphone", t("clip.your_recording")))
