"""What a visitor can ask of a clip: the paper's eight tasks as a table.

Names are what the page says (`tasks.<name>` in the tables of words). Prompts are what a model is sent, and
stay English in every language of the page: that is what the models were taught with.
"""

from __future__ import annotations

from dataclasses import dataclass

from ui.wire import ModelCard

MAX_PROMPT_CHARACTERS = 2000


@dataclass(frozen=True)
class Task:
    """A chip: what it needs of the registry's capabilities, and the prompt that it fills in."""

    name: str
    capability: str
    icon: str
    prompt: str


TASKS = (
    Task("transcribe", "transcribe", ":material/notes:", "Please transcribe this speech."),
    Task("translate", "translate", ":material/translate:", "Please translate this speech into English."),
    Task(
        "summarise",
        "summarise",
        ":material/short_text:",
        "Please summarise this speech in one or two sentences.",
    ),
    Task("answer", "answer", ":material/quiz:", "What is this speech about?"),
    Task("instruct", "chat", ":material/assistant:", "Please follow the instruction in this speech."),
    Task(
        "speaker",
        "speaker",
        ":material/group:",
        "Who is speaking? Describe each speaker's voice and accent.",
    ),
    Task("sound", "sound", ":material/hearing:", "What sounds can be heard in this clip?"),
    Task("caption", "sound", ":material/closed_caption:", "Describe all that can be heard in one sentence."),
)
BY_NAME = {task.name: task for task in TASKS}
FIRST = TASKS[0]

# Ready questions about two clips.
COMPARISONS = ("What is the difference between these two clips?", "What do the two clips have in common?")


@dataclass(frozen=True)
class Language:
    """A language to translate into: its own name for those who read it, its English one for the prompt."""

    name: str
    english: str


LANGUAGES = {
    "en": Language("English", "English"),
    "zh": Language("中文", "Chinese"),
    "ms": Language("Bahasa Melayu", "Malay"),
    "ta": Language("தமிழ்", "Tamil"),
    "id": Language("Bahasa Indonesia", "Indonesian"),
    "th": Language("ไทย", "Thai"),
    "vi": Language("Tiếng Việt", "Vietnamese"),
    "hi": Language("हिन्दी", "Hindi"),
    "ja": Language("日本語", "Japanese"),
    "ko": Language("한국어", "Korean"),
}


def targets(model: ModelCard | None) -> list[str]:
    """Return the codes of the languages that a model translates into, English first."""
    # Whisper, which the embedded engine is made of, hears many languages and translates into one.
    if model is None or model.engine == "embedded":
        return ["en"]
    return ["en", *(code for code in LANGUAGES if code != "en" and code in model.languages)]


def prompt_of(task: Task, into: str = "en") -> str:
    """Return what a model is asked; `into` is the code of the language to translate into."""
    return task.prompt.replace("into English", f"into {LANGUAGES[into].english}")


READY = frozenset(prompt_of(task, code) for task in TASKS for code in LANGUAGES) | frozenset(COMPARISONS)
"""Every prompt that a chip fills in."""
