"""An engine elsewhere: any server that speaks OpenAI's chat completions, such as vLLM, SGLang, llama.cpp or Ollama.

Evidence and now window go as pictures, each behind its time, in the very order in which a local model sees them. The
network is waited for in a thread of its own; `step` hands on what has come, and never waits.
"""

import asyncio
import base64
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
import msgspec

from perception.messages import Fault
from reasoning.config import RemoteConfig
from reasoning.costs import CostMeter
from reasoning.engine import Delta, EngineOutput, Failed, Finished, Request, Started
from reasoning.prompt import ChatMessage, Part, Prompt

log = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
SILENCE_S: Final = 60.0
"""How long the server may say nothing."""
_PAUSES_S: Final = (0.2, 1.0)
"""Before another try, where nothing has come of a request yet."""
_END_S: Final = 0.2
"""How long the end of a response is waited for once all is said: only then its connection serves again."""
_MOST_LINE: Final = 2**20
_JSON: Final = {"Content-Type": "application/json"}
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOO_LONG: Final = frozenset({400, 413, 422})

_DOWN: Final = Fault("model_unavailable", "the remote model cannot be reached: start it, or ask again in a moment")
_SLOW: Final = Fault("model_unavailable", "the remote model said nothing for too long: ask again in a moment")
_STOPPED: Final = Fault("model_unavailable", "the remote model stopped in the middle of the answer: ask again")
_GARBAGE: Final = Fault("model_unavailable", "the remote model answers in a form that is not known: check its address")
_REFUSED: Final = Fault("model_unavailable", "the remote model refuses our key: set OMNILIVE_MODEL_API_KEY")
_UNKNOWN: Final = Fault("model_unavailable", "the remote server does not know the model: name one with --model-name")
_BUSY_FAULT: Final = Fault("model_unavailable", "the remote model is overloaded: ask again in a moment")
_DECLINED: Final = Fault("model_unavailable", "the remote model does not take this question: ask a shorter one")


class _Fails(Exception):
    """The request has failed. again: another try may help; smaller: a smaller prompt may."""

    def __init__(self, fault: Fault, *, again: bool = False, smaller: bool = False) -> None:
        super().__init__(fault.code)
        self.fault, self.again, self.smaller = fault, again, smaller


@dataclass
class _Answer:
    """What has come of a request so far."""

    request: Request
    prompt: Prompt
    begun: bool = False
    reason: str = ""
    usage: "_Usage | None" = None
    pieces: int = 0
    asked_s: float = field(default_factory=time.monotonic)
    begun_s: float = 0.0


class RemoteEngine:
    """Implements `Engine`."""

    def __init__(self, config: RemoteConfig, slots: int, notify: Callable[[], None] = lambda: None) -> None:
        """notify: called from another thread when `step` has something to do."""
        self._config = config
        self._slots = slots
        self.meter = CostMeter(slots)
        self._notify = notify
        self._outputs: deque[EngineOutput] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: set[str] = set()
        self._name = config.name
        self._loop = asyncio.new_event_loop()
        self._client: httpx.AsyncClient | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote-model", daemon=True)
        self._thread.start()

    @property
    def slots(self) -> int:
        """See `Engine.slots`."""
        return self._slots

    @property
    def decoding(self) -> Literal["elsewhere"]:
        """See `Engine.decoding`."""
        return "elsewhere"

    def begin(self, request: Request) -> None:
        """See `Engine.begin`."""
        self._running.add(request.id)
        self._call(self._begin(request))

    def step(self) -> list[EngineOutput]:
        """See `Engine.step`: what has come since."""
        outputs: list[EngineOutput] = []
        while self._outputs:
            output = self._outputs.popleft()
            if output.id not in self._running:
                continue
            if isinstance(output, Finished | Failed):
                self._running.discard(output.id)
            outputs.append(output)
        return outputs

    def next_step_s(self) -> float:
        """See `Engine.next_step_s`."""
        return 0.0

    def has_work(self) -> bool:
        """See `Engine.has_work`. False while there is only to wait: `notify` says when that is over."""
        return bool(self._outputs)

    def cancel(self, request_id: str) -> None:
        """See `Engine.cancel`."""
        self._running.discard(request_id)
        self._call(self._stop(request_id))

    def forget(self, stream: str, events: Sequence[str]) -> None:
        """See `Engine.forget`: nothing is kept here."""

    def close(self) -> None:
        """See `Engine.close`."""
        self._running.clear()
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(CONNECT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONNECT_S)

    # ------------------------------------------------------------ in the thread

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _begin(self, request: Request) -> None:
        self._tasks[request.id] = asyncio.create_task(self._answer(request))

    async def _stop(self, request_id: str) -> None:
        task = self._tasks.pop(request_id, None)
        if task is not None:
            task.cancel()

    async def _shut(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _say(self, output: EngineOutput) -> None:
        self._outputs.append(output)
        self._notify()

    async def _answer(self, request: Request) -> None:
        """One request to its end, which is said exactly once."""
        try:
            self._say(await self._persist(_Answer(request, request.prompt)))
        except _Fails as failed:
            self._say(Failed(request.id, failed.fault))
        except Exception as error:
            log.exception("a request to the remote model failed: %s", type(error).__name__)
            self._say(Failed(request.id, _GARBAGE))
        finally:
            self._tasks.pop(request.id, None)

    async def _persist(self, answer: _Answer) -> Finished:
        """Try again while nothing has come: later where it is busy, with less where it was too much."""
        pauses = iter(_PAUSES_S)
        while True:
            try:
                return await self._ask(answer)
            except _Fails as failed:
                less = answer.prompt.smaller() if failed.smaller else None
                pause = next(pauses, None) if failed.again else None
                if answer.begun or (less is None and pause is None):
                    raise
                if less is not None:
                    answer.prompt = less
                else:
                    await asyncio.sleep(pause or 0.0)

    async def _ask(self, answer: _Answer) -> Finished:
        # Pictures make it large: as text it would be looked through letter by letter.
        body = msgspec.json.encode({**_body(answer.request, answer.prompt), "model": await self._model()})
        try:
            async with self._http().stream("POST", "chat/completions", content=body, headers=_JSON) as response:
                await _check(response)
                async for data in _events(response):
                    self._hear(answer, data)
        except httpx.ConnectError as error:
            raise _Fails(_DOWN, again=True) from error
        except httpx.TimeoutException as error:
            raise _Fails(_DOWN if isinstance(error, httpx.ConnectTimeout) else _SLOW) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Fails(_STOPPED if answer.begun else _DOWN, again=not answer.begun) from error
        if not answer.reason:
            raise _Fails(_STOPPED, again=not answer.begun)
        if not answer.begun:
            self._started(answer)
        self.meter.note_step(len(self._tasks), (time.monotonic() - answer.begun_s) / max(1, answer.pieces))
        usage = answer.usage
        reason: Literal["stop", "length"] = "length" if answer.reason == "length" else "stop"
        if usage is None:
            return Finished(answer.request.id, reason, answer.pieces)
        return Finished(answer.request.id, reason, usage.completion_tokens, input_tokens=usage.prompt_tokens)

    def _hear(self, answer: _Answer, data: bytes) -> None:
        """One server-sent event."""
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except msgspec.DecodeError as error:
            raise _Fails(_GARBAGE) from error
        if chunk.error is not None:
            raise _Fails(_STOPPED if answer.begun else _BUSY_FAULT, again=True)
        answer.usage = chunk.usage or answer.usage
        for choice in chunk.choices[:1]:
            if choice.delta is not None and choice.delta.content:
                if not answer.begun:
                    self._started(answer)
                answer.pieces += 1
                self._say(Delta(answer.request.id, choice.delta.content))
            answer.reason = choice.finish_reason or answer.reason

    def _started(self, answer: _Answer) -> None:
        answer.begun, answer.begun_s = True, time.monotonic()
        self.meter.note_elsewhere(answer.begun_s - answer.asked_s)
        self._say(Started(answer.request.id, answer.prompt, answer.usage.prompt_tokens if answer.usage else 0))

    async def _model(self) -> str:
        """The model's name there; asked for once."""
        if not self._name:
            try:
                response = await self._http().get("models")
            except httpx.HTTPError as error:
                raise _Fails(_DOWN, again=True) from error
            await _check(response)
            try:
                self._name = msgspec.json.decode(response.content, type=_Models).data[0].id
            except (msgspec.DecodeError, IndexError) as error:
                raise _Fails(_GARBAGE) from error
        return self._name

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=f"{self._config.url.rstrip('/')}/",
                headers={"Authorization": f"Bearer {self._config.key}"} if self._config.key else {},
                timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
                limits=httpx.Limits(max_connections=None),
                follow_redirects=False,
                # What the environment says of proxies is not meant for cameras' pictures.
                trust_env=False,
            )
        return self._client


# ---------------------------------------------------------------- what goes there


def _body(request: Request, prompt: Prompt) -> dict[str, Any]:
    sampled = {"seed": request.seed} if request.temperature > 0 else {}
    return {
        "messages": [_message(message) for message in prompt.messages()],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        **sampled,
    }


def _message(message: ChatMessage) -> dict[str, Any]:
    if all(isinstance(part, str) for part in message.parts):
        return {"role": message.role, "content": "".join(map(str, message.parts))}
    return {"role": message.role, "content": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    picture = base64.b64encode(part.jpeg).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}}


# ---------------------------------------------------------------- what comes back


class _Spoken(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Spoken | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Listed(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Listed]


async def _check(response: httpx.Response) -> None:
    """Raises _Fails where the status is none of success."""
    status = response.status_code
    if response.is_success:
        return
    # What it says may hold a path or an address: it is neither told nor kept.
    log.warning("the remote model answered with status %d", status)
    if status in (401, 403):
        raise _Fails(_REFUSED)
    if status == 404:
        raise _Fails(_UNKNOWN)
    if status in _BUSY:
        raise _Fails(_BUSY_FAULT, again=True)
    raise _Fails(_DECLINED if status in _TOO_LONG else _GARBAGE, smaller=status in _TOO_LONG)


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """The data of each server-sent event, up to `[DONE]`. Raises _Fails where it is no such stream."""
    if "event-stream" not in response.headers.get("content-type", ""):
        raise _Fails(_GARBAGE)
    waiting = b""
    pieces = response.aiter_bytes()
    async for piece in pieces:
        *lines, waiting = (waiting + piece).split(b"\n")
        if len(waiting) > _MOST_LINE:
            raise _Fails(_GARBAGE)
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == b"[DONE]":
                    await _read_out(pieces)
                    return
                yield data


async def _read_out(pieces: AsyncIterator[bytes]) -> None:
    """The end of a response of which nothing more is wanted; what goes wrong now costs its connection alone."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_END_S):
            async for _ in pieces:
                pass
