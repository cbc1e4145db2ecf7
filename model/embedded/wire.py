"""Requests and replies of the engine in OpenAI's form."""

import base64
import binascii
import json
import time
import uuid
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.errors import BadRequest

MOST_TEXT = 10_000  # characters in a message; more cannot fit the small model's context


class TextPart(BaseModel):
    """Text in a message."""

    type: Literal["text"]
    text: str = Field(max_length=MOST_TEXT)


class AudioData(BaseModel):
    """A clip in base64."""

    data: str
    format: str = "wav"

    def decoded(self) -> bytes:
        """The file. Raises BadRequest."""
        try:
            return base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(
                "audio_not_base64", "The audio is not valid base64. Encode the file's bytes.", "input_audio"
            ) from error


class AudioPart(BaseModel):
    """A clip in a message."""

    type: Literal["input_audio"]
    input_audio: AudioData


Part = Annotated[TextPart | AudioPart, Field(discriminator="type")]


class Message(BaseModel):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=MOST_TEXT)] | list[Part] | None = None

    @property
    def text(self) -> str:
        """All of its text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or [] if isinstance(part, TextPart))

    @property
    def clips(self) -> list[AudioData]:
        """Its clips."""
        parts = self.content if isinstance(self.content, list) else []
        return [part.input_audio for part in parts if isinstance(part, AudioPart)]


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    include_usage: bool = False


class ChatBody(BaseModel):
    """`POST /v1/chat/completions`; fields that mean nothing here are passed over."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[Message] = Field(min_length=1, max_length=64)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    """Go on with the last message, which is the model's own and was begun elsewhere (vLLM's field)."""

    @model_validator(mode="after")
    def _goes_on_with_a_beginning(self) -> Self:
        if self.add_generation_prompt == self.continue_final_message:
            raise ValueError(
                "continue_final_message and add_generation_prompt must differ: an answer begins or goes on"
            )
        last = self.messages[-1]
        if self.continue_final_message and (last.role != "assistant" or last.clips or not last.text.strip()):
            raise ValueError("continue_final_message needs the begun text as the assistant's last message")
        return self


class SpeechBody(BaseModel):
    """`POST /v1/audio/speech`."""

    model_config = ConfigDict(extra="ignore")

    model: str
    input: str = Field(min_length=1, max_length=4096)
    voice: str = "alloy"
    response_format: Literal["wav", "pcm", "mp3", "opus", "flac"] = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4.0)


Body = TypeVar("Body", bound=BaseModel)


def parse(kind: type[Body], raw: bytes) -> Body:
    """A request from its JSON.

    Raises:
        BadRequest: it is not JSON, or a field is wrong; the message names the field.
    """
    try:
        return kind.model_validate(json.loads(raw))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"] if step not in ("text", "input_audio", "list"))
        raise BadRequest("invalid_value", f"{field or 'The body'}: {first['msg']}.", field or None) from None
    except (ValueError, RecursionError):
        raise BadRequest("invalid_json", "The body is not valid JSON.") from None


def completion_id() -> str:
    """A new id for an answer."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def chunk(
    id_: str, model: str, delta: dict[str, Any] | None, finish_reason: str | None = None, **extra: Any
) -> dict[str, Any]:
    """A piece of a streamed answer; without a delta, the one that carries only usage."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return {
        "id": id_,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        **extra,
    }
