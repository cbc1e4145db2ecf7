"""What the Playground remembers of one visitor: the clips in hand, what was asked, what is being typed."""

from __future__ import annotations

from dataclasses import dataclass, field

from ui.clip import Clip
from ui.conversation import Conversation, Sampling
from ui.session import Part
from ui.settings import settings
from ui.tasks import FIRST, TASKS
from ui.transcript import Transcript


def usual_sampling() -> Sampling:
    """Return how answers are drawn unless the visitor says otherwise: the same question, the same answer."""
    return Sampling(max_tokens=settings().max_tokens)


@dataclass
class Playground(Part):
    """One conversation about one clip, or about two that are compared."""

    conversation: Conversation = field(default_factory=Conversation)
    clips: tuple[Clip, ...] = ()  # the last one is the clip chosen for all pages
    wants_second: bool = False  # the next clip is compared with the first instead of taking its place
    task: str = FIRST.name
    prompt: str = FIRST.prompt  # what stands in the box, for when the visitor comes back to the page
    into: str = "en"  # the language to translate into
    problem: str = ""  # why the question could not be asked
    editing: int | None = None  # the number of the turn that the next question takes the place of
    sampling: Sampling = field(default_factory=usual_sampling)
    transcript: Transcript | None = None
    long: Clip | None = None  # a recording that is only written down, shown instead of the clips

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self.conversation.answering

    def attend(self, clip: Clip | None) -> None:
        """Take the clip that is chosen for all pages; another one starts another conversation."""
        if clip is (self.clips[-1] if self.clips else None):
            return
        first = self.clips[:1] if self.wants_second and clip is not None else ()
        if not first:
            self.conversation.clear()
        self.put_away()
        self.clips = (*first, clip) if clip is not None else ()
        self.wants_second, self.editing, self.problem = False, None, ""

    def take_up(self, prompt: str) -> None:
        """Put a question into the box that comes from elsewhere, such as a link."""
        self.prompt = prompt
        self.task = next((task.name for task in TASKS if task.prompt == prompt), "answer")

    def keep_only(self, clip: Clip) -> None:
        """Compare no more: talk about one of the clips, from the start."""
        self.conversation.clear()
        self.put_away()
        self.clips, self.editing = (clip,), None

    def hold(self, recording: Clip) -> None:
        """Show a recording that is too long to be asked about, to be written down."""
        self.put_away()
        self.long = recording

    def put_away(self) -> None:
        """Take the transcript off the page, and a recording that was there for it alone."""
        self.forget_transcript()
        self.long = None

    def forget_transcript(self) -> None:
        """End the transcript that is on its way, if any, and take it off the page."""
        if self.transcript is not None:
            self.transcript.stop()
            self.transcript = None

    def clear(self) -> None:
        """End what is on its way."""
        self.conversation.clear()
        self.put_away()
