"""The demo's front door. `streamlit run Home.py` starts the pages and, if told of none, a backend."""

from pathlib import Path

import streamlit as st

from ui import logs, tracing
from ui.cascade.endpoints import endpoints
from ui.first_run import load_again_if, pages_by_file_name
from ui.giving import take_back
from ui.host.page import host_page
from ui.language import t
from ui.menu import phone_menu
from ui.outside import ask_nobody
from ui.playground import playground
from ui.settings import SettingsError, settings

# A file of our own: a named icon would be fetched from the internet.
ICON = Path(__file__).with_name("ui") / "icon.svg"

st.set_page_config(page_title="MERaLiON", page_icon=str(ICON), layout="wide")

ask_nobody()
logs.configure()
try:
    tracing.start(settings().otlp_endpoint)
    endpoints()
except SettingsError as error:
    st.error(str(error), icon=":material/error:")
    st.stop()

PAGES = [
    st.Page(
        playground,
        title=t("menu.playground"),
        icon=":material/graphic_eq:",
        url_path="playground",
        default=True,
    ),
    st.Page("pages/1_Voice_Chat.py", title=t("menu.voice"), icon=":material/mic:", url_path="voice"),
    st.Page(
        "pages/2_Cascade.py", title=t("menu.cascade"), icon=":material/account_tree:", url_path="cascade"
    ),
    st.Page(
        "pages/3_Model_Picker.py", title=t("menu.models"), icon=":material/checklist:", url_path="models"
    ),
]

# In no menu: the host knows its address, and opens it with a key.
HOST = st.Page(host_page, title=t("host.title"), icon=":material/tune:", url_path="host", visibility="hidden")

sought = pages_by_file_name()
page = st.navigation([*PAGES, HOST], position="top")
load_again_if(sought, page, PAGES)
phone_menu(PAGES)
page.run()
if page is not HOST:
    take_back()
