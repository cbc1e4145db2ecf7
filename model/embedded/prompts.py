"""What the small text model is told.

SmolLM2-135M is weak. The templates here won against others by right answers on the bundled samples:
`python -m benchmarks.prompts`, results in `benchmarks/results/prompts.md`.
"""

import re
from dataclasses import dataclass

Messages = list[dict[str, str]]

# SmolLM2's own control tokens, and those of the models the same demo serves: never part of what people say.
_CONTROL = re.compile(
    r"<\|[^|<>]{0,40}\|>|</?(?:start_of_turn|end_of_turn|SpeechHere|bos|eos|s|im_start|im_end)>"
)


@dataclass(frozen=True)
class Template:
    """How a task is put to the text model."""

    system: str  # empty for the model's own
    user: str  # with {transcript} and, for a question, {question}
    examples: tuple[tuple[str, str], ...] = ()  # (user, assistant) turns before it
    stop: tuple[str, ...] = ()
    max_tokens: int = 160

    def messages(self, transcript: str, question: str = "") -> Messages:
        """The conversation to complete."""
        turns: Messages = [{"role": "system", "content": self.system}] if self.system else []
        for asked, answered in self.examples:
            turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        text = self.user.replace("{question}", without_control(question))
        turns.append({"role": "user", "content": text.replace("{transcript}", without_control(transcript))})
        return turns


def without_control(text: str) -> str:
    """Text without control tokens, however they are nested."""
    while (cleaned := _CONTROL.sub("", text)) != text:
        text = cleaned
    return text


ANSWER = Template(
    system="",
    user='Read this text: "{transcript}"\n\nNow answer in one short sentence: {question}',
    stop=("\n",),
    max_tokens=80,
)
SUMMARISE = Template(
    system="",
    user="Summarise this recording: {transcript}",
    stop=("\n\n",),
    max_tokens=120,
)
TALK = Template(
    system="You are a friendly voice assistant. You answer in one or two short sentences.",
    user="{transcript}",
    # Without them it takes a short question for the beginning of a story.
    examples=(
        ("Hi there!", "Hello! It is nice to talk with you."),
        ("What colour is a banana?", "A ripe banana is yellow."),
    ),
    stop=("\n",),
    max_tokens=60,
)
CHAT = Template(system="You are a helpful assistant who answers briefly.", user="{question}", max_tokens=256)
