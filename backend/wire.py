"""The bodies callers send, in OpenAI's form. A field that would silently do nothing is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

from backend import words
from backend.errors import InvalidRequest

_CODES = {"missing": "missing_field", "extra_forbidden": "unknown_field"}
_MAX_PARTS = 1_000  # of one message


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PauseBody(_Body):
    """Whether the demo is to be paused."""

    paused: bool


class InlineAudio(_Body):
    """A recording inside the request."""

    data: str
    format: str = ""  # the bytes tell; names are often wrong


class AudioAddress(_Body):
    """Where a recording is."""

    url: str


class FileReference(_Body):
    """An uploaded recording."""

    file_id: str


class TextPart(_Body):
    """Words."""

    type: Literal["text"]
    text: str


class AudioPart(_Body):
    """A recording inside the request."""

    type: Literal["input_audio"]
    input_audio: InlineAudio

    @property
    def source(self) -> tuple[str, str]:
        """Return the recording, in base64 or by its URL, and the name of the field that holds it."""
        return self.input_audio.data, "input_audio.data"


class AudioUrlPart(_Body):
    """A recording to be fetched, or in a data: URL."""

    type: Literal["audio_url"]
    audio_url: AudioAddress

    @property
    def source(self) -> tuple[str, str]:
        """Return the recording, in base64 or by its URL, and the name of the field that holds it."""
        return self.audio_url.url, "audio_url.url"


class FilePart(_Body):
    """A recording that was uploaded before."""

    type: Literal["file"]
    file: FileReference


Part = Annotated[TextPart | AudioPart | AudioUrlPart | FilePart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(max_length=_MAX_PARTS)]
Model = Annotated[str, Field(max_length=256)]


def _as_parts(content: Any) -> Any:
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


def _none_if_empty(value: Any) -> Any:
    return None if isinstance(value, list | dict) and not value else value


_Empty = Annotated[list[Any], Field(max_length=0)] | Annotated[dict[str, Any], Field(max_length=0)] | None
Unsupported = Annotated[None, BeforeValidator(_none_if_empty, json_schema_input_type=_Empty)]
"""A standard field that nothing here can do: it may be there while there is nothing in it."""


class ChatMessage(_Body):
    """One turn. `name` and what clients copy back from an answer are taken and left aside."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Parts, FailFast(), BeforeValidator(_as_parts, json_schema_input_type=str | Parts | None)
    ]
    name: Any = None
    refusal: None = None
    annotations: Any = None
    audio: Unsupported = None
    function_call: Unsupported = None
    tool_calls: Unsupported = None


class StreamOptions(_Body):
    """What a stream carries besides the answer."""

    include_usage: bool | None = False
    include_obfuscation: Any = None


class TextFormat(_Body):
    """The only form an answer has."""

    type: Literal["text"]


Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


class ChatBody(_Body):
    """`POST /v1/chat/completions`."""

    model: Model
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=200), FailFast()]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: (
        Annotated[
            list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str]), Field(max_length=4)
        ]
        | None
    ) = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    n: int | None = Field(None, ge=1, le=1)
    # Only the value that changes nothing.
    modalities: list[Literal["text"]] | None = None
    response_format: TextFormat | None = None
    logprobs: Literal[False] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    tools: Unsupported = None
    functions: Unsupported = None
    function_call: Unsupported = None
    logit_bias: Unsupported = None
    top_logprobs: Unsupported = None
    prediction: Unsupported = None
    audio: Unsupported = None
    web_search_options: Unsupported = None
    # Standard fields without a meaning here, taken and left aside.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    parallel_tool_calls: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None


class SpeechBody(_Body):
    """`POST /v1/audio/speech`."""

    model: Model
    input: str
    voice: str | None = None
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0, allow_inf_nan=False)


class ListenForm(_Body):
    """The fields beside the recording in `POST /v1/audio/transcriptions` and `.../translations`."""

    model: Model
    response_format: Literal["json", "text", "verbose_json", "srt", "vtt"] = "json"
    language: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{2,8})?$")
    prompt: str | None = Field(None, max_length=1_000)
    temperature: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    stream: bool = False
    timestamp_granularities: list[Literal["word", "segment"]] = []

    def fields(self, model: str) -> dict[str, str | list[str]]:
        """Return them as an engine takes them, under the name the model has there."""
        plain = self.model_dump(exclude_none=True, exclude={"timestamp_granularities"})
        fields: dict[str, str | list[str]] = {name: str(value) for name, value in plain.items()}
        fields |= {"model": model, "stream": "true" if self.stream else "false"}
        if self.timestamp_granularities:
            fields["timestamp_granularities[]"] = list(self.timestamp_granularities)
        return fields


def form_values(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return a form's fields as one value each, but for the one that is a list."""
    return {
        name: values if name == "timestamp_granularities" else values[-1] for name, values in fields.items()
    }


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Leave out the step for a part's kind, messages[0].content[0].*text*.text, which no caller wrote."""
    if len(loc) > 5 and loc[0] == "messages" and loc[2] == "content":
        return (*loc[:4], *loc[5:])
    return loc


Body = TypeVar("Body", bound=BaseModel)


def parse(kind: type[Body], body: Mapping[str, Any]) -> Body:
    """Check a body. Raises InvalidRequest naming the first wrong field."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        first["loc"] = loc = _place(first["loc"])
        raise InvalidRequest(
            _CODES.get(first["type"], "invalid_field"),
            words.sentence(first, kind.model_fields),
            param=words.path(loc),
        ) from None
