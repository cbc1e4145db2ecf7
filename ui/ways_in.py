"""Step 1: the three ways to a clip, equal and all at once."""

from __future__ import annotations

import streamlit as st

from ui import samples
from ui.recorder import recorder
from ui.session import Pending, Session, session
from ui.settings import settings
from ui.words import seconds

NO_SAMPLES = "The sample clips are not here. Upload a recording or use the microphone."


def ways_in(visit: Session) -> None:
    """Show the sample picker, the uploader and the recorder."""
    with st.container(key="way_sample", gap="small"):
        st.markdown("##### :material/library_music: Try a sample")
        _samples(visit)
    with st.container(key="way_upload", gap="small"):
        st.markdown("##### :material/upload_file: Upload a recording")
        with st.container(key="upload"):
            _uploader(visit)
    with st.container(key="way_record", gap="small"):
        st.markdown("##### :material/mic: Use your microphone")
        with st.container(key="record", horizontal=True, vertical_alignment="center", gap="small"):
            recorder(visit, settings().pause_s, _take_recording)
        visit.simple_recorder = st.toggle("Having trouble? Use the simple recorder", key="simple_recorder")


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
    st.html('<p class="m-note">The voices are synthetic: no real person speaks in these clips.</p>')


def _uploader(visit: Session) -> None:
    key = visit.widget_key("upload_file")
    # Any file may be offered: whether it holds sound is judged by its content, and answered in a sentence.
    st.file_uploader("Any audio or video file, up to 25 MB", key=key, on_change=_take_upload, args=(key,))


def _take_sample(sample: samples.Sample) -> None:
    data = sample.path.read_bytes()
    session().pending = Pending(data, sample.path.name, "sample", sample.title, sample.id)


def _take_upload(key: str) -> None:
    file = st.session_state.get(key)
    if file is not None:
        session().take(Pending(file.getvalue(), file.name, "upload", file.name))


def _take_recording(wav: bytes) -> None:
    session().take(Pending(wav, "recording.wav", "microphone", "Your recording"))
