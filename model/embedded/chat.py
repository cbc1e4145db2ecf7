"""`POST /v1/chat/completions`: the cascade in OpenAI's form, streamed or whole."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from model import logs
from model.bodies import read_json
from model.embedded.answer import Account, Event, Turn
from model.embedded.begun import ForeignBeginning
from model.embedded.models import Ears, Models
from model.embedded.prompts import without_control
from model.embedded.text_model import Sampling, TextModelError
from model.embedded.wire import ChatBody, Message, chunk, completion_id, parse
from model.errors import BadRequest, ClientGone, EngineError, Failed
from model.events import sse


async def completions(request: Request) -> Response:
    """Answer a conversation."""
    models: Models = request.app.state.models
    body = parse(ChatBody, await read_json(request, models.settings.max_body_mb << 20))
    ears = models.ears(body.model)
    logs.note(model=body.model)
    turns = [await _turn(models, message) for message in body.messages]
    begun = turns.pop().text if body.continue_final_message else ""
    if not turns or turns[-1].role != "user":
        raise BadRequest("last_message", "The last message must be the user's.", "messages")
    if not turns[-1].text.strip():
        raise BadRequest(
            "prompt_empty", "Say what to do with the clip, for example: Please transcribe.", "messages"
        )
    account = Account()
    events = _in_place(models, ears, turns, _sampling(body, models), account, begun)
    if body.stream:
        # The first event is awaited here, so that a refusal is an HTTP error and not the end of a stream.
        first = await anext(events, None)
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamingResponse(
            _stream(body.model, first, events, account, with_usage), media_type="text/event-stream"
        )
    return await _whole(request, body.model, events, account)


async def _turn(models: Models, message: Message) -> Turn:
    clips = [await models.decoder.decode(clip.decoded(), models.limits) for clip in message.clips]
    role = "system" if message.role == "developer" else message.role
    return Turn(role, without_control(message.text), tuple(clips))


def _sampling(body: ChatBody, models: Models) -> Sampling:
    asked = body.max_completion_tokens or body.max_tokens or models.settings.max_tokens
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Sampling(
        body.temperature if body.temperature is not None else 0.0,
        body.top_p if body.top_p is not None else 1.0,
        body.seed,
        min(asked, models.settings.max_tokens),
        stop,
    )


async def _in_place(
    models: Models, ears: Ears, turns: list[Turn], sampling: Sampling, account: Account, begun: str
) -> AsyncGenerator[Event, None]:
    """The answer's events, made while a place is held; closing gives the place back."""
    async with models.places:
        try:
            async with aclosing(ears.answerer.answer(turns, sampling, account, begun)) as events:
                async for event in events:
                    yield event
        except ForeignBeginning:
            raise BadRequest(
                "answer_not_begun_here",
                "This model does not begin its answer like that. Ask without continue_final_message.",
                "messages",
            ) from None
        except TextModelError as error:
            kind = BadRequest if error.code == "context_length_exceeded" else Failed
            raise kind(error.code, str(error), "messages") from error
        finally:
            logs.note(seconds=round(account.audio_seconds, 2), count=account.completion_tokens)


async def _stream(
    model: str, first: Event | None, events: AsyncGenerator[Event, None], account: Account, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    id_ = completion_id()
    async with aclosing(events):
        yield sse(chunk(id_, model, {"role": "assistant", "content": ""}))
        try:
            if first:
                yield _event(id_, model, first)
            async for event in events:
                yield _event(id_, model, event)
        except EngineError as error:
            logs.note(code=error.code)
            yield sse(error.body())
            return
        yield sse(chunk(id_, model, {}, account.finish_reason, meralion={"timing": account.as_timing()}))
        if with_usage:
            yield sse(chunk(id_, model, None, usage=_usage(account)))
        yield sse("[DONE]")


def _event(id_: str, model: str, event: Event) -> bytes:
    if event.heard:
        return sse(chunk(id_, model, {}, meralion={"heard": event.heard}))
    return sse(chunk(id_, model, {"content": event.text}))


async def _whole(
    request: Request, model: str, events: AsyncGenerator[Event, None], account: Account
) -> Response:
    text = heard = ""
    async with aclosing(events):
        async for event in events:
            if await request.is_disconnected():
                raise ClientGone
            text += event.text
            heard += event.heard
    extra: dict[str, Any] = {"timing": account.as_timing()}
    if heard:
        extra["heard"] = heard
    body = chunk(completion_id(), model, None, usage=_usage(account), meralion=extra)
    body["object"] = "chat.completion"
    message = {"role": "assistant", "content": text}
    body["choices"] = [{"index": 0, "message": message, "finish_reason": account.finish_reason}]
    return JSONResponse(body)


def _usage(account: Account) -> dict[str, int]:
    return {
        "prompt_tokens": account.prompt_tokens,
        "completion_tokens": account.completion_tokens,
        "total_tokens": account.prompt_tokens + account.completion_tokens,
    }
