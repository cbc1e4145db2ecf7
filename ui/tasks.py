"""What a visitor can ask of a clip: the paper's tasks as a table."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PROMPT_CHARACTERS = 2000


@dataclass(frozen=True)
class Task:
    """A chip: its name in the registry's capabilities, its words, and the prompt that it fills in."""

    name: str
    label: str
    icon: str
    prompt: str


TASKS = (
    Task("transcribe", "Write it down", ":material/notes:", "Please transcribe this speech."),
    Task("translate", "Translate", ":material/translate:", "Please translate this speech into English."),
    Task(
        "summarise",
        "Summarise",
        ":material/short_text:",
        "Please summarise this speech in one or two sentences.",
    ),
    Task("answer", "Answer a question", ":material/quiz:", "What is this speech about?"),
    Task(
        "speaker",
        "Who speaks?",
        ":material/group:",
        "Who is speaking? Describe each speaker's voice and accent.",
    ),
    Task("sound", "What is heard?", ":material/hearing:", "What sounds can be heard in this clip?"),
)
BY_NAME = {task.name: task for task in TASKS}
FIRST = TASKS[0]


def prompt_problem(prompt: str) -> str:
    """Return the sentence for a prompt that cannot be asked, or "" for one that can."""
    if not prompt.strip():
        return "There is no question yet. Choose one above or type your own, then press Ask."
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        return (
            f"Your question has {len(prompt):,} characters; at most {MAX_PROMPT_CHARACTERS:,} can be asked. "
            "Please shorten it, then press Ask."
        )
    return ""
