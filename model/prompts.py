"""What the models were taught to read: turns, task queries and the chat template, in one table.

A chat template is written from two parts. The first walks over OpenAI's messages, takes control tokens out of
people's words, puts `<SpeechHere>` where a clip stands and wraps the turn as the release was trained. The
second is the decoder's own: Gemma 2's turns, or whatever a smaller decoder brings.
"""

from __future__ import annotations

from model.layouts import SPEECH_TOKEN, Turn

TURNS: dict[Turn, str] = {
    "context_first": "Given the following audio context: {audio}\n\nText instruction: {query}",
    # The space before the newline belongs there.
    "instruction_first": (
        "Instruction: {query} \nFollow the text instruction based on the following audio: {audio}"
    ),
}

TRANSCRIBE = "Please transcribe this speech."
TRANSLATE = "Can you please translate this speech into written {language}?"
QUERIES = {
    "transcribe": TRANSCRIBE,
    "translate": TRANSLATE,
    "answer": "Based on the audio, answer the following question: {question}",
    "summarise": "Please summarize this spoken dialogue.",
    "speaker": "Describe the speaker's characteristics including gender, accent, and emotion.",
}

# What would be read as a command and not as words, in the decoders that this project meets.
CONTROL_TOKENS = (
    SPEECH_TOKEN,
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
)

GEMMA = (
    "{{ '<bos>' }}"
    "{%- set said = namespace(system='') -%}"
    "{%- for message in messages -%}"
    "{%- if message.role in ('system', 'developer') -%}"
    "{%- set said.system = said.system + message.content + '\\n\\n' -%}"
    "{%- else -%}"
    "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\\n' }}"
    "{%- if message.role != 'assistant' and said.system -%}"
    "{{ said.system }}{%- set said.system = '' -%}"
    "{%- endif -%}"
    "{{ message.content | trim }}{{ '<end_of_turn>\\n' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
)
"""Gemma 2's turns with exactly one `<bos>`; it has no system role: such words open the first user turn."""


def turn_text(turn: Turn, query: str, clips: int = 1) -> str:
    """One user turn about `clips` clips, as the release was trained to read it."""
    return TURNS[turn].format(audio=SPEECH_TOKEN * clips, query=query)


def chat_template(turn: Turn, decoder_template: str | None = None) -> str:
    """The Jinja template of a model: its turn, then its decoder's own template (None: Gemma 2's).

    A user turn whose clips stand together is wrapped as in `TURNS`. One in which words stand between clips
    keeps its order: the clips take their places among the words, and nothing is added. A turn without clips
    is words.
    """
    before, between, after = _around(TURNS[turn])
    audio_first = TURNS[turn].index("{audio}") < TURNS[turn].index("{query}")
    first, second = ("turn.audio", "turn.text") if audio_first else ("turn.text", "turn.audio")
    # A space, not nothing: two halves of a token must not close up into a whole one.
    clean = " ".join(f"| replace({_quoted(token)}, ' ')" for token in CONTROL_TOKENS)
    return (
        "{%- macro words(text) -%}{{ text " + clean + " }}{%- endmacro -%}"
        "{%- set plain = namespace(messages=[]) -%}"
        "{%- for message in messages -%}"
        "{%- set turn = namespace(audio='', text='', order='', runs=0, last='') -%}"
        "{%- if message.content is string -%}"
        "{%- set turn.text = words(message.content) -%}"
        "{%- elif message.content -%}"
        "{%- for part in message.content -%}"
        "{%- if part.type == 'text' -%}"
        "{%- set text = words(part.text) -%}"
        "{%- if text | trim -%}"
        "{%- set turn.text = turn.text + ('\\n' if turn.text else '') + text -%}"
        "{%- set turn.order = turn.order + (' ' if turn.order else '') + text -%}"
        "{%- set turn.last = 'text' -%}"
        "{%- endif -%}"
        "{%- else -%}"
        f"{{%- set turn.audio = turn.audio + '{SPEECH_TOKEN}' -%}}"
        f"{{%- set turn.order = turn.order + (' ' if turn.last == 'text' else '') + '{SPEECH_TOKEN}' -%}}"
        "{%- set turn.runs = turn.runs + (1 if turn.last != 'audio' else 0) -%}"
        "{%- set turn.last = 'audio' -%}"
        "{%- endif -%}"
        "{%- endfor -%}"
        "{%- endif -%}"
        "{%- if turn.runs == 1 and turn.text -%}"
        f"{{%- set text = {before} + {first} + {between} + {second} + {after} -%}}"
        "{%- elif turn.runs -%}"
        "{%- set text = turn.order -%}"
        "{%- else -%}"
        "{%- set text = turn.text -%}"
        "{%- endif -%}"
        "{%- set plain.messages = plain.messages + [{'role': words(message.role), 'content': text}] -%}"
        "{%- endfor -%}"
        "{%- set messages = plain.messages -%}" + (decoder_template or GEMMA)
    )


def _around(turn: str) -> tuple[str, str, str]:
    """The three constant stretches of a turn, as Jinja strings."""
    first, second = sorted(("{audio}", "{query}"), key=turn.index)
    before, rest = turn.split(first)
    between, after = rest.split(second)
    return _quoted(before), _quoted(between), _quoted(after)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
