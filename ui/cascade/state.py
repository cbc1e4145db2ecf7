"""What the Cascade page remembers of one visitor."""

from __future__ import annotations

from dataclasses import dataclass, field

from ui.cascade.cost import Bill
from ui.cascade.prompt import TEMPLATE
from ui.cascade.secret import Secret
from ui.cascade.stage import Stage
from ui.clip import Clip
from ui.session import Part
from ui.wire import ModelCard


@dataclass
class Hearing:
    """The first stage: a model writes down what it hears in a clip."""

    clip: Clip
    model: ModelCard
    stage: Stage


@dataclass
class Run:
    """A question, answered in two ways at once."""

    cascade: Stage  # the second stage: a text model answers from the words
    whole: Stage  # the audio model answers from the sound
    hearing: Hearing | None  # None: the words are the visitor's own
    clip: Clip
    listener: str  # titles
    thinker: str
    thinking: Bill
    listening: Bill

    @property
    def ended(self) -> bool:
        """Whether both answers are there."""
        return self.cascade.ended and self.whole.ended


@dataclass
class CascadeState(Part):
    """All of it. A visitor's keys are here and nowhere else, by the row or the address that they are for."""

    hearing: Hearing | None = None
    transcript: str = ""  # as the visitor has it, once the hearing has ended
    taken: bool = False  # what was heard stands in `transcript`
    set_times: int = 0  # how often `transcript` was set here; it goes into the field's key, see `heard`
    edited: bool = False
    question: str | None = None  # None: the page's own first one
    template: str = TEMPLATE
    row: str = ""
    address: str = ""
    model_names: dict[str, str] = field(default_factory=dict)  # by row
    keys: dict[str, Secret] = field(default_factory=dict, repr=False)
    key_fields: int = 0  # how often the field for a key was emptied; it goes into its name
    problem: str = ""
    run: Run | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self.run is not None and not self.run.ended

    @property
    def listening(self) -> bool:
        """Whether the clip is being written down."""
        return self.hearing is not None and not self.hearing.stage.ended

    def take_heard(self) -> None:
        """Once the hearing has ended, let the visitor have its words, to be corrected."""
        if self.hearing is not None and self.hearing.stage.ended and not self.taken:
            self.transcript, self.taken, self.edited = self.hearing.stage.text, True, False
            self.set_times += 1

    def drop_run(self) -> None:
        """End and forget the answers."""
        if self.run is not None:
            self.run.cascade.stop()
            self.run.whole.stop()
            self.run = None

    def stop(self) -> None:
        """End what is on its way and keep what came."""
        if self.run is not None:
            self.run.cascade.stop()
            self.run.whole.stop()
        if self.hearing is not None:
            self.hearing.stage.stop()

    def clear(self) -> None:
        """End what is on its way; forget the keys."""
        self.stop()
        self.keys.clear()
