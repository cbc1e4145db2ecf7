"""The demo's front door. `streamlit run Home.py` starts the pages and, if told of none, a backend."""

from pathlib import Path

import streamlit as st

from ui.playground import playground
from ui.settings import SettingsError, settings

# A file of our own: a named icon would be fetched from the internet.
ICON = Path(__file__).with_name("ui") / "icon.svg"

st.set_page_config(page_title="MERaLiON Playground", page_icon=str(ICON), layout="wide")

PAGES = [
    st.Page(
        playground, title="Playground", icon=":material/graphic_eq:", url_path="playground", default=True
    ),
]

try:
    settings()
except SettingsError as error:
    st.error(str(error), icon=":material/error:")
    st.stop()

st.navigation(PAGES, position="top").run()
