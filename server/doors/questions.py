"""Questions over HTTP: an answer as JSON, or as server-sent events while it is made; and how it came about."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from server.answers import Delta, Done, Failed, Run
from server.doors.replies import CHECKED, ERRORS, Stream, TheHub, Who, needs
from server.hub import Hub
from server.protocol import AnswerReply, ExplainReply, QuestionRequest, QuestionsRequest
from server.streams import StreamEntry
from server.views import error_body, explain_reply

router = APIRouter(prefix="/v1", tags=["questions"], responses=ERRORS, dependencies=CHECKED)

COMMENT_EVERY_S = 15.0
_SSE: dict[int | str, dict[str, Any]] = {
    200: {"model": AnswerReply, "content": {"text/event-stream": {}}, "description": "an answer, or its stream"}
}


@router.post("/streams/{id}/questions", responses=_SSE, response_model=AnswerReply, dependencies=[needs("ask")])
async def ask(hub: TheHub, who: Who, entry: Stream, request: Request, question: QuestionRequest) -> Response:
    """Ask one stream."""
    return await _answer(hub, who.tenant, [entry], request, question)


@router.post("/questions", responses=_SSE, response_model=AnswerReply, dependencies=[needs("ask")])
async def ask_many(hub: TheHub, who: Who, request: Request, question: QuestionsRequest) -> Response:
    """Ask several streams at once; null: all."""
    return await _answer(hub, who.tenant, hub.questions.many(who.tenant, question), request, question)


@router.get("/questions/{id}/explain", dependencies=[needs("view")])
async def explain(hub: TheHub, who: Who, id: str) -> ExplainReply:
    """How one of the last 1000 answers came about."""
    kept = hub.questions.explains.get(who.tenant, id)
    return explain_reply(kept.content, kept.start_wall_us, kept.since_us, kept.until_us)


async def _answer(
    hub: Hub, tenant: str, entries: Sequence[StreamEntry], request: Request, question: QuestionRequest
) -> Response:
    run = hub.questions.admit(tenant, entries, question)
    hub.questions.begin(run)
    if question.stream:
        return AnswerStream(run)
    gone = asyncio.create_task(_gone(request.receive))
    answer = asyncio.create_task(run.result())
    try:
        await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            run.leave()
        return Response((await answer).model_dump_json(), media_type="application/json")
    finally:
        run.leave()
        gone.cancel()
        answer.cancel()


async def _gone(receive: Receive) -> None:
    """Until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class AnswerStream(Response):
    """A question's deltas and its one terminal as server-sent events; a comment keeps proxies awake.

    The question is left whenever this ends, however it ends.
    """

    media_type = "text/event-stream"

    def __init__(self, run: Run) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the terminal, or until nobody listens."""
        gone = asyncio.create_task(_gone(receive))
        sending = asyncio.create_task(self._send_all(send))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            self._run.leave()
            gone.cancel()
            sending.cancel()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        more = True
        while more:
            text, more = await self._next()
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

    async def _next(self) -> tuple[str, bool]:
        try:
            item = await asyncio.wait_for(self._run.next(), COMMENT_EVERY_S)
        except TimeoutError:
            return ": still at work\n\n", True
        return _event(item), isinstance(item, Delta)


def _event(item: Delta | Done | Failed) -> str:
    if isinstance(item, Delta):
        return f"event: delta\ndata: {json.dumps({'text': item.text})}\n\n"
    if isinstance(item, Done):
        return f"event: done\ndata: {item.answer.model_dump_json()}\n\n"
    body = {"error": error_body(item.error.fault).model_dump()}
    return f"event: error\ndata: {json.dumps(body)}\n\n"
