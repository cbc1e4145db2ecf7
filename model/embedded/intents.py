"""What an instruction asks for, told from its words.

Whisper does two things by itself: write down and translate into English. Everything else needs the text
model, and some things need ears that this cascade does not have. The rules below decide;
`tests/model/test_intents.py` is their specification.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What can be asked of a clip."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"  # into English
    SUMMARISE = "summarise"
    ANSWER = "answer"
    TALK = "talk"  # what is said is said to us
    SPEAKER = "speaker"  # who speaks: a man or a woman, and what else a voice tells
    PERSON = "person"  # one thing of who speaks: number, age, accent, mood
    SOUND = "sound"  # what else is heard


@dataclass(frozen=True)
class Intent:
    """One thing that is asked for."""

    task: Task
    language: str | None = None  # of a translation, when it is not English


# Languages that people in Singapore and visitors ask for; any other name falls to the text model.
LANGUAGES = [
    "arabic",
    "bahasa",
    "bengali",
    "burmese",
    "cantonese",
    "chinese",
    "dutch",
    "filipino",
    "french",
    "german",
    "hakka",
    "hindi",
    "hokkien",
    "indonesian",
    "italian",
    "japanese",
    "javanese",
    "khmer",
    "korean",
    "lao",
    "malay",
    "malayalam",
    "mandarin",
    "portuguese",
    "punjabi",
    "russian",
    "spanish",
    "tagalog",
    "tamil",
    "telugu",
    "teochew",
    "thai",
    "turkish",
    "urdu",
    "vietnamese",
]

# How people begin to ask: "please", "can you", ... and what they call the clip.
_ASK = (
    r"^(?:(?:please|kindly|now|then|first|hi|hello|ok(?:ay)?|can you|could you|would you|will you"
    r"|i want you to|i would like you to|help me(?: to)?|help|to|text instruction)[\s,:]*)*"
)
_CLIP = (
    r"(?:this|the|that|it|what|these|my|all|everything|whole|entire|following|audio|speech|clip|recording)\b"
)
_SOMEBODY = (
    r"(?:the |this |that |each |every |both |first |second |main )*"
    r"(?:speakers?|voices?|persons?|people|talkers?|callers?|man|woman)"
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_TRANSCRIBE = _any(
    rf"{_ASK}(?:transcri(?:be|pt|ption)\b|write (?:down|out)\b|type (?:out|up)\b|dictat|subtitle)",
    r"\btranscribe\b",
    r"\b(?:give|provide|produce|generate|write|show|make|create|need|want)\b[^.?!]{0,20}"
    r"\b(?:transcript(?:ion)?|subtitles)\b",
    r"\b(?:verbatim|word[ -]for[ -]word|speech[ -](?:to[ -]text|recognition))\b",
    r"^what (?:(?:is|was|has been) (?:being )?(?:said|spoken)|are they saying|is (?:he|she|the \w+) saying"
    r"|(?:do|does|did) (?:he|she|they|i|the (?:speaker|person|man|woman|voice)) say)"
    r"(?: (?:in|on) (?:this|the|that) (?:clip|audio|recording|speech))?[\s?.!]*$",
    r"^what's (?:being )?said\b",
    r"^(?:repeat|write|note) (?:exactly )?what (?:is|was|you|he|she|they)\b",
)
_NOT_TRANSCRIBE = re.compile(r"\b(?:don't|do not|without|instead of|no need to) (?:transcrib|the transcript)")
_TRANSLATE = _any(
    rf"{_ASK}translat",
    rf"\btranslat(?:e|ion of) {_CLIP}",
    r"\btranslate\b[^.?!]*\b(?:in)?to\b",
    r"^what is the translation",
)
_SAY_IN = re.compile(
    rf"{_ASK}(?:say|put|give|write|repeat) (?:it|this|that|the same)?[^.?!]{{0,20}}"
    r"\bin (?P<language>[a-z]+)[\s?.!]*$"
)
_TARGET = re.compile(
    r"\b(?:in)?to (?:simple |plain |simplified |traditional |formal |bahasa )*(?P<language>[a-z]+)"
    r"|\bin (?P<other>[a-z]+)\b"
)
_ABOUT = (
    r"^what(?:'s| is| was) (?:this|the|it|that)"
    r"(?: (?:clip|audio|recording|talk|speech|conversation|dialogue|story))?(?: all)? about\b"
)
_SUMMARISE = _any(
    r"\b(?:summar(?:ise|ize|y|ies|ising|izing)|tl;?dr|gist)\b",
    r"\b(?:main (?:points?|ideas?)|key (?:points?|takeaways?)|in a nutshell)\b",
    r"\b(?:recap|brief overview|minutes of)\b",
    rf"{_ASK}(?:give|tell) me the (?:gist|short version)",
    _ABOUT,
)
_SPEAKER = _any(
    # "Who is speaking?", and not what is said of one, as in "Who is the speaker talking about?"
    r"\bwho(?: is| are| was| were|'s) (?:(?:the )?(?:speakers?|talkers?)|speaking|talking)\b(?!')"
    r"(?! (?:about|to|with|at|for|of|next|first|last|talking|speaking|calling|saying|asking)\b)",
    r"^(?:and )?who speaks\b(?! (?:about|to|with|at|for|first|next|last)\b)",
    r"\bgender\b|\bsex of\b|\b(?:speaker|voice|person|caller)(?:'s|s')? sex\b",
    rf"\b(?:is|are|was|were) {_SOMEBODY} (?:a |an )?(?:males?|females?|man|men|woman|women|boys?|girls?)\b",
    r"\b(?:males? or (?:a )?females?|females? or (?:a )?males?)\b",
    r"\b(?:boys? or (?:a )?girls?|girls? or (?:a )?boys?)\b",
    r"\b(?:(?:man|men) or (?:a )?(?:woman|women)|(?:woman|women) or (?:a )?(?:man|men))\b",
)
_DESCRIBE = re.compile(r"\bdescribe (?:the|each|this|every|all) (?:speakers?|voices?)")
_PERSON = _any(
    r"^who said (?:it|this|that)\b",
    r"\bhow many (?:different |distinct |other )*"
    r"(?:speakers?|voices?|people|persons?|men|women|participants)\b[^.?!]{0,30}(?:speak|talk|heard|hear|there|voice|clip|audio|recording|conversation|dialogue|$)",
    r"\bnumber of (?:speakers?|voices)\b",
    r"\b(?:identify|recogni[sz]e|distinguish|diari[sz]e|label|count) (?:the |all |each )*"
    r"(?:speakers?|voices?)\b",
    r"\bspeaker (?:identification|diari[sz]ation|recognition|verification)\b|\bdiari[sz]ation\b",
    r"\b(?:speaker|voice|person|caller)(?:'s|s')? (?:age|accent|emotions?|mood|nationality)\b",
    r"\b(?:speaker|voice|person|caller)(?:'s|s')? (?:ethnicity|race|tone|pitch|identity)\b",
    r"\baccents?\b|\bemotion(?:s|al)?\b|\btone of (?:the |his |her |their )?voice\b",
    rf"\b(?:is|are|was|were) {_SOMEBODY} (?:a |an )?"
    r"(?:child|adult|young|old|elderly|native|local|singaporean)",
    rf"\bhow old (?:is|are|does) {_SOMEBODY}\b|\b(?:age|nationality|ethnicity) of {_SOMEBODY}\b",
    rf"\b(?:does|do|is|are) (?:he|she|they|{_SOMEBODY}) sound(?:ing)?\b",
    r"\bsounds? (?:angry|happy|sad|tired|excited|nervous|upset|bored|calm)\b",
    rf"\bwhere (?:is|are|does|do) {_SOMEBODY} (?:come )?from\b|\b(?:mood|feelings?) of {_SOMEBODY}\b",
    rf"\bhow (?:is|are|does|do) {_SOMEBODY} feel(?:ing)?[\s?.!]*$",
    r"\bspeaking (?:rate|speed|style)\b|\bhow fast\b[^.?!]*\b(?:speak|talk)|\bparalinguistic",
)
_SOUND = _any(
    r"\b(?:background|ambient|environmental) (?:noises?|sounds?|music)\b|\bsound (?:events?|effects?)\b",
    r"\b(?:what|which|any|describe|list|identify|name|other) (?:\w+ )?(?:of )?"
    r"(?:sounds?|noises?|music|instruments?)\b",
    r"\b(?:describe|list|caption) (?:the |this |these |all )*(?:audio|sounds?|noises?|music|acoustic)\b",
    r"\baudio caption|\bcaption (?:this|the)\b|\bmusic(?:al)? (?:genre|instruments?)\b",
    r"\bis there (?:any )?(?:music|noise|singing|laughter|applause)\b",
    r"\bwhat (?:else )?(?:can|do|did|could) (?:you|i|we|one) hear\b|\bwhat (?:else )?is heard\b",
    r"\bacoustic (?:scene|environment)\b",
    r"\bwhere (?:was|is) (?:this|it|the (?:clip|audio|recording)) (?:recorded|made|taken)\b",
)
_TALK = re.compile(r"^(?:please )?(?:answer|reply to|respond to) what is said, as in a conversation\b")
# After a language's name: then it is what is spoken, not what to translate into.
_SPOKEN = r"(?! (?:to|into|speech|audio|clip|conversation|words?|sentences?|parts?))"


def understand(instruction: str) -> list[Intent]:
    """The things an instruction asks for, in the order in which they are to be answered; never empty."""
    text = _plain(instruction)
    if _TALK.search(text):
        return [Intent(Task.TALK)]
    # Of who asks for all of a voice, what can be told is told; who asks for one thing wants that.
    if _PERSON.search(text) and not _DESCRIBE.search(text):
        return [Intent(Task.PERSON)]
    if _SPEAKER.search(text):
        return [Intent(Task.SPEAKER)]
    if _SOUND.search(text):
        return [Intent(Task.SOUND)]
    asked: list[Intent] = []
    if _TRANSCRIBE.search(text) and not _NOT_TRANSCRIBE.search(text):
        asked.append(Intent(Task.TRANSCRIBE))
    if _TRANSLATE.search(text):
        asked.append(Intent(Task.TRANSLATE, _target(text)))
    elif (put := _SAY_IN.search(text)) and (put["language"] == "english" or put["language"] in LANGUAGES):
        asked.append(Intent(Task.TRANSLATE, None if put["language"] == "english" else put["language"]))
    if _SUMMARISE.search(text):
        asked.append(Intent(Task.SUMMARISE))
    return asked or [Intent(Task.ANSWER)]


def asks_about(instruction: str) -> bool:
    """Whether it is the question what a clip is about, which a summary answers, and a word too."""
    return re.search(_ABOUT, _plain(instruction)) is not None


def _plain(instruction: str) -> str:
    return re.sub(r"\s+", " ", instruction.replace("’", "'")).strip().lower()


def _target(text: str) -> str | None:
    """The language to translate into, None for English, which is also meant when none is named."""
    for match in _TARGET.finditer(text):
        language = match["language"] or match["other"]
        if language == "english":
            return None
        if language in LANGUAGES:
            return language
    for language in LANGUAGES:
        if re.search(rf"\b{language}\b{_SPOKEN}", text) and not re.search(rf"\bfrom {language}\b", text):
            return language
    return None
