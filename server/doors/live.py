"""The live websocket: media in, questions and answers, and what happens to a stream, on one connection."""

import asyncio
import json
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ValidationError
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from perception.messages import Percept
from server.answers import Delta, Done, Failed, Run
from server.doors.guard import PROTOCOL
from server.doors.live_messages import AskMessage, CancelMessage, MediaMessage, SubscribeMessage, live_message
from server.doors.media import MediaReader
from server.doors.replies import CHECKED, allow, explain_invalid, hub_of, principal_of, stream_of
from server.errors import RequestError, internal_error
from server.hub import Hub
from server.pushing import Media, Pusher
from server.streams import StreamEntry
from server.times import wall_text
from server.views import error_body, event_reply, stream_reply
from server.watchers import Watcher

logger = logging.getLogger(__name__)
router = APIRouter(dependencies=CHECKED)

STATE_EVERY_S = 1.0
GOING_AWAY, BAD_MESSAGES = 1001, 1008


class Closed(Exception):
    """The connection ends with a close code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@router.websocket("/v1/streams/{id}/live")
async def live(socket: WebSocket, id: str) -> None:
    """One live client of one stream. Unknown streams are refused before the upgrade."""
    entry = stream_of(socket, id)
    allow(socket, "view")
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
    hub = hub_of(socket)
    with hub.watch(entry) as watcher:
        await Session(hub, entry, socket, watcher).run()


class Session:
    """A connection: one task reads, one tells of the stream, one for each open question."""

    def __init__(self, hub: Hub, entry: StreamEntry, socket: WebSocket, watcher: Watcher) -> None:
        self._hub = hub
        self._entry = entry
        self._socket = socket
        self._watcher = watcher
        self._limits = hub.core.config.limits
        self._media = MediaReader(self._limits.image_pixels)
        self._pusher: Pusher | None = None
        self._runs: dict[str, Run] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        self._bad = 0
        self._told_state_at = -STATE_EVERY_S

    async def run(self) -> None:
        """Until the client goes, the stream goes, or the server stops."""
        tasks: set[asyncio.Future[Any]] = {
            self._hub.sessions.enter(self, principal_of(self._socket)),
            asyncio.create_task(self._read()),
            asyncio.create_task(self._tell()),
        }  # fmt: skip
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await self._close(_close_code(done))
        finally:
            for task in tasks | self._answering:
                task.cancel()
            for run in self._runs.values():
                run.leave()
            if self._pusher is not None:
                self._pusher.close()
            self._hub.sessions.leave(self)
            await asyncio.wait(tasks | self._answering)

    # ------------------------------------------------------------ from the client

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                content = self._understand(message)
            except _BadMessage as bad:
                await self._complain(bad)
                continue
            self._bad = 0
            await self._obey(content)

    def _understand(self, message: Message) -> BaseModel | Media:
        """What the client wants. Raises _BadMessage."""
        data = message.get("bytes")
        if data is None:
            return self._parse(message.get("text") or "")
        try:
            return self._media.read(data)
        except RequestError as error:
            raise _BadMessage(error) from None

    def _parse(self, text: str) -> BaseModel:
        limit = self._limits.body_bytes
        if len(text) > limit:
            raise _BadMessage(RequestError("too_large", f"a text message has at most {limit} bytes"))
        try:
            return live_message.validate_json(text)
        except ValidationError as error:
            raise _BadMessage(_explain(error), _id_in(text)) from None

    async def _complain(self, bad: "_BadMessage") -> None:
        """Only what is no message counts: a question that is refused now may be asked again."""
        self._bad += 1
        await self._send_error(bad.caller, bad.error)
        if self._bad >= self._limits.bad_messages:
            raise Closed(BAD_MESSAGES)

    async def _obey(self, content: BaseModel | Media) -> None:
        try:
            await self._take(content)
        except RequestError as error:
            await self._send_error(getattr(content, "id", None), error)
        except Exception:
            # An error of ours ends this message alone, and the client hears of it.
            logger.exception("a live message failed")
            await self._send_error(getattr(content, "id", None), internal_error())

    async def _take(self, message: BaseModel | Media) -> None:
        match message:
            case Media():
                await self._sender().push(message)
            case AskMessage():
                await self._ask(message)
            case CancelMessage():
                self._cancel(message)
            case SubscribeMessage():
                self._watcher.subscribe(frozenset(message.topics), self._entry.shown)
            case MediaMessage():
                self._sender()
                self._media.declare(message)

    def _sender(self) -> Pusher:
        if self._pusher is None:
            allow(self._socket, "ingest")
            self._pusher = self._hub.pusher(self._entry)
        return self._pusher

    # ------------------------------------------------------------ questions

    async def _ask(self, message: AskMessage) -> None:
        allow(self._socket, "ask")
        if message.id in self._runs:
            raise RequestError("invalid_field", "id: a question of this id is open: choose another", "id")
        run = self._hub.questions.admit(principal_of(self._socket).tenant, [self._entry], message)
        self._runs[message.id] = run
        # Behind all media that came before it on this connection, and before all that comes after.
        barrier = self._pusher.barrier() if self._pusher is not None else None
        task = asyncio.create_task(self._answer(message.id, run, barrier))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, name: str, run: Run, barrier: Awaitable[Any] | None) -> None:
        """Pass on what comes of a question, its one terminal last."""
        begin = asyncio.create_task(self._begin(run, barrier))
        try:
            while True:
                item = await run.next()
                if isinstance(item, Delta):
                    await self._send({"type": "delta", "id": name, "text": item.text})
                    continue
                self._runs.pop(name, None)
                await self._send_end(name, item)
                return
        except WebSocketDisconnect:
            return
        except Exception:
            logger.exception("an answer could not be told")
            with suppress(WebSocketDisconnect):
                await self._send_error(name, internal_error())
        finally:
            begin.cancel()
            run.leave()
            self._runs.pop(name, None)

    async def _begin(self, run: Run, barrier: Awaitable[Any] | None) -> None:
        try:
            if barrier is not None:
                await barrier
            if not run.ended:
                self._hub.questions.begin(run)
        except RequestError as error:
            self._hub.questions.refuse(run, error)
        except Exception:
            logger.exception("a question could not begin")
            self._hub.questions.refuse(run, internal_error())

    async def _send_end(self, name: str, item: Done | Failed) -> None:
        if isinstance(item, Done):
            await self._send({"type": "done", "id": name, "result": item.answer.model_dump(mode="json")})
        else:
            await self._send_error(name, item.error)

    def _cancel(self, message: CancelMessage) -> None:
        run = self._runs.get(message.id)
        if run is None:
            raise RequestError("question_not_found", "no question of this id is open", "id")
        run.leave()

    # ------------------------------------------------------------ to the client

    async def _tell(self) -> None:
        """State at change and at most once a second, events as they are committed, of frames the newest."""
        while True:
            await self._tell_state()
            while self._watcher.events:
                event = self._watcher.events.popleft()
                await self._send({"type": "event", "event": event_reply(self._entry, event).model_dump(mode="json")})
            frame, self._watcher.frame = self._watcher.frame, None
            if frame is not None:
                await self._send_frame(frame)
            if self._watcher.closed:
                await self._send_error(None, RequestError("stream_not_found", "the stream was deleted"))
                raise Closed(GOING_AWAY)
            await self._wait()

    async def _tell_state(self) -> None:
        if not self._watcher.state_changed or "state" not in self._watcher.topics or self._state_due_in() > 0:
            return
        self._watcher.state_changed = False
        self._told_state_at = asyncio.get_running_loop().time()
        view = stream_reply(self._entry, self._hub.core.clocks)
        await self._send({"type": "state", "stream": view.model_dump(mode="json")})

    def _state_due_in(self) -> float:
        return self._told_state_at + STATE_EVERY_S - asyncio.get_running_loop().time()

    async def _wait(self) -> None:
        """Until there is something to tell, or a change of state that was held back is due."""
        watcher = self._watcher
        watcher.wake.clear()
        if watcher.events or watcher.frame is not None or watcher.closed:
            return
        held_back = watcher.state_changed and "state" in watcher.topics
        try:
            await asyncio.wait_for(watcher.wake.wait(), max(0.0, self._state_due_in()) if held_back else None)
        except TimeoutError:
            return

    async def _send_frame(self, frame: Percept) -> None:
        time = wall_text(self._entry.declaration.start_wall_us + frame.media_us)
        await self._send({"type": "frame", "time": time}, frame.jpeg)

    async def _send_error(self, name: str | None, error: RequestError) -> None:
        said: dict[str, Any] = {"type": "error", "id": name, "error": error_body(error.fault).model_dump()}
        if error.retry_after_s is not None:
            # What is a header elsewhere.
            said["retry_after_s"] = error.retry_after_s
        await self._send(said)

    async def _send(self, message: dict[str, Any], attached: bytes | None = None) -> None:
        """One message, with what belongs right behind it; on its way when this returns.

        The connection ends, and the session with it, where the client takes nothing for long.
        """
        text = json.dumps(message)
        async with self._sending:
            try:
                await self._socket.send_text(text)
                if attached is not None:
                    await self._socket.send_bytes(attached)
            except (RuntimeError, OSError):
                # The framework's way to say that the connection is closed; an error of ours is none of these here.
                raise WebSocketDisconnect from None

    async def _close(self, code: int | None) -> None:
        """Say goodbye where anybody listens; the kernel drops a peer that takes nothing."""
        if code is None or self._sending.locked():
            return
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close(code)
        except (WebSocketDisconnect, RuntimeError, OSError):
            return


class _BadMessage(Exception):
    """A message that is none of ours; `caller` is the id in it if there is one."""

    def __init__(self, error: RequestError, caller: str | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.caller = caller


def _id_in(text: str) -> str | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    name = content.get("id") if isinstance(content, dict) else None
    return name if isinstance(name, str) and len(name) <= 128 else None


def _explain(error: ValidationError) -> RequestError:
    kinds = ("ask", "cancel", "subscribe", "media")
    found: list[dict[str, Any]] = [
        {**one, "loc": one["loc"][1:] if one["loc"] and one["loc"][0] in kinds else one["loc"]}
        for one in error.errors(include_input=False, include_url=False)
    ]
    if found and found[0]["type"].startswith("union_tag"):
        return RequestError("invalid_field", f"type: send one of {', '.join(kinds)}", "type")
    return explain_invalid(found)


def _close_code(done: set[asyncio.Future[Any]]) -> int | None:
    """Which code a finished session closes with; None where the client is gone already. Raises an error of ours."""
    for task in done:
        error = task.exception()
        if isinstance(error, Closed):
            return error.code
        if error is not None and not isinstance(error, WebSocketDisconnect):
            raise error
        if error is None and isinstance(task.result(), int):
            return int(task.result())
    return None
