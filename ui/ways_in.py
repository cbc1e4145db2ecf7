"""Step 1: the three ways to a clip, equal and all at once."""

from __future__ import annotations

import streamlit as st

from ui import samples
from ui.clip import Origin
from ui.recorder import microphone_problem, recorder
from ui.session import Pending, Session, session
from ui.settings import settings
from ui.words import seconds

SIMPLE_RECORDER = "simple_recorder"
WAV_HEADER_BYTES = 44
MAX_UPLOAD_MB = 25
NO_SOUND = (
    "The microphone gave no sound. Check that it is not muted and try again, or use the simple recorder."
)
NO_SAMPLES = "The sample clips are not here. Upload a recording or use the microphone."


def ways_in(visit: Session) -> None:
    """Show the sample picker, the uploader and the recorder."""
    with st.container(key="way_sample", gap="small"):
        st.markdown("##### :material/library_music: Try a sample")
        _samples(visit)
        _problem(visit, "sample")
    with st.container(key="way_upload", gap="small"):
        st.markdown("##### :material/upload_file: Upload a recording")
        with st.container(key="upload"):
            _uploader(visit)
        _problem(visit, "upload")
    with st.container(key="way_record", gap="small"):
        st.markdown("##### :material/mic: Use your microphone")
        _microphone(visit)


def _problem(visit: Session, origin: Origin) -> None:
    """Say why what came in this way cannot be the clip."""
    if visit.clip_problem and visit.clip_problem_from == origin:
        st.error(visit.clip_problem, icon=":material/error:")


def _samples(visit: Session) -> None:
    collection = samples.load(settings().samples_dir)
    if not collection.samples:
        st.info(NO_SAMPLES)
        return
    for tab, group in zip(st.tabs(list(samples.GROUPS.values())), samples.GROUPS, strict=True):
        with tab, st.container(key=f"samples_{group}", gap=None):
            for sample in collection.group(group):
                chosen = visit.clip is not None and visit.clip.sample_id == sample.id
                st.button(
                    f"{sample.title} :small[{seconds(sample.seconds)}]",
                    key=f"sample_{sample.id}",
                    type="primary" if chosen else "secondary",
                    width="stretch",
                    on_click=_take_sample,
                    args=(sample,),
                )
    st.caption("Synthetic voices: no real person speaks here.", help=collection.note or None)


def _uploader(visit: Session) -> None:
    key = visit.widget_key("upload_file")
    # Any file may be offered: whether it holds sound is judged by its content, and answered in a sentence.
    label = f"Any audio or video file, up to {MAX_UPLOAD_MB} MB and 5 minutes"
    st.file_uploader(label, key=key, on_change=_take_upload, args=(key,))


def _microphone(visit: Session) -> None:
    problem = microphone_problem()
    if problem:
        st.caption(f":material/mic_off: {problem}")
        return
    simple = bool(st.session_state.get(SIMPLE_RECORDER))
    with st.container(key="record", horizontal=True, vertical_alignment="center", gap="small"):
        recorder(visit, simple, settings().pause_s, _take_recording)
    _problem(visit, "microphone")
    st.toggle("Having trouble? Use the simple recorder", key=SIMPLE_RECORDER)


def _take_sample(sample: samples.Sample) -> None:
    data = sample.path.read_bytes()
    session().take(Pending(data, sample.path.name, "sample", sample.title, sample.id))


def _take_upload(key: str) -> None:
    file = st.session_state.get(key)
    if file is not None and file.size > MAX_UPLOAD_MB * 2**20:
        session().refuse(
            f"This file has {file.size / 2**20:.0f} MB, and at most {MAX_UPLOAD_MB} can be taken. "
            "Choose a shorter recording, or save it as MP3 or M4A.",
            "upload",
        )
    elif file is not None:
        session().take(Pending(file.getvalue(), file.name, "upload", file.name))


def _take_recording(wav: bytes) -> None:
    visit = session()
    if len(wav) <= WAV_HEADER_BYTES:
        visit.refuse(NO_SOUND, "microphone")
    else:
        visit.take(Pending(wav, "recording.wav", "microphone", "Your recording"))
