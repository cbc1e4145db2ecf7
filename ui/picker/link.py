"""A link that brings a sample clip, a question and models back.

`?clip=sl-hawker&prompt=...&models=a,b` at the Model Picker, `&model=a` at the Playground. A visitor's own
clip has no address and so is in no link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import streamlit as st

from ui import samples
from ui.clip import Clip
from ui.connection import chat_models
from ui.language import t
from ui.picker.state import MOST, PickerState, contender
from ui.playground_state import Playground
from ui.samples import Sample
from ui.session import Part, Pending, Session
from ui.settings import settings
from ui.tasks import MAX_PROMPT_CHARACTERS
from ui.wire import ClientError

OPENED = "link_opened"  # in session state: the visitor whom the address has been read for
NAMES = ("clip", "prompt", "model", "models")
MOST_IDS = 16  # read from an address; more is no link of ours


@dataclass(frozen=True)
class Link:
    """What an address says, none of it believed yet."""

    clip: str = ""
    prompt: str = ""
    models: tuple[str, ...] = ()  # to be compared
    model: str = ""  # to answer on all pages

    @property
    def query(self) -> str:
        """The part of an address after the question mark."""
        models = ",".join(self.models)
        parts = {"clip": self.clip, "prompt": self.prompt, "models": models, "model": self.model}
        return urlencode({name: value for name, value in parts.items() if value}, safe=",~")


def read(query: Mapping[str, str]) -> Link:
    """Read an address's query. Control characters go; what is too long is left for `open_link` to refuse."""
    names = query.get("models", "").split(",", MOST_IDS)[:MOST_IDS]
    models = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    prompt = "".join(letter for letter in query.get("prompt", "") if letter.isprintable() or letter == "\n")
    return Link(query.get("clip", "").strip(), prompt.strip(), models, query.get("model", "").strip())


def link_to(clip: Clip | None, prompt: str, contenders: tuple[str, ...]) -> Link:
    """Return the link to what the page shows; a clip of the visitor's own is not in it."""
    return Link(clip.sample_id if clip else "", prompt.strip()[:MAX_PROMPT_CHARACTERS], contenders)


@dataclass
class LinkState(Part):
    """What of a link could not be had, in sentences."""

    problems: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget it: the visitor has read it."""
        self.problems.clear()


def open_link(visit: Session) -> None:
    """Take up what the address says, once a visit; say in a sentence what of it cannot be had.

    Call it below the head of the page and above everything that shows clip, prompt or models. It starts the
    page's run again when it has changed something.
    """
    opened = st.session_state.get(OPENED)
    if opened is not None:
        if opened != visit.visitor:  # started over: who reloads shall not find another's words again
            st.query_params.clear()
            st.session_state[OPENED] = visit.visitor
        return
    if not any(name in st.query_params for name in NAMES):
        st.session_state[OPENED] = visit.visitor
        return
    try:
        known = {card.id: card.title for card in chat_models()}
    except ClientError:  # the head of the page says so; the link is taken up when models can be had
        return
    st.session_state[OPENED] = visit.visitor
    _take_up(visit, read(st.query_params.to_dict()), known)
    st.rerun()


def link_problems(visit: Session) -> None:
    """Say what of a link could not be had, until the visitor has read it."""
    state = visit.part(LinkState)
    if state.problems:
        with st.container(key="link_problems"):
            st.warning(" ".join(state.problems), icon=":material/link_off:")
            st.button(t("models.link_read"), key="link_read", on_click=state.clear)


def _take_up(visit: Session, link: Link, known: Mapping[str, str]) -> None:
    problems = visit.part(LinkState).problems
    if link.clip:
        sample = samples.load(settings().samples_dir).find(link.clip)
        if sample is None:
            problems.append(t("models.link_no_clip"))
        else:
            _choose(visit, sample)
    if len(link.prompt) > MAX_PROMPT_CHARACTERS:
        problems.append(t("models.link_long", most=f"{MAX_PROMPT_CHARACTERS:,}"))
    elif link.prompt:
        st.session_state["prompt"] = visit.part(PickerState).prompt = link.prompt
        visit.part(Playground).take_up(link.prompt)
    wanted = [name for name in link.models if contender(name).model in known]
    visit.part(PickerState).picked = wanted[:MOST] or None
    if len(wanted) < len(link.models) or (link.model and link.model not in known):
        problems.append(t("models.link_no_model"))
    if len(wanted) > MOST:
        problems.append(t("models.most", most=MOST))
    if link.model in known:
        visit.model = link.model


def _choose(visit: Session, sample: Sample) -> None:
    data = sample.path.read_bytes()
    visit.take(Pending(data, sample.path.name, "sample", sample.title, sample.id))
