"""One question, one end: what a client reads of its question, and what is kept of answers that were given."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reasoning.messages import Turn
from server.admission import Asked
from server.errors import RequestError
from server.protocol import AnswerReply, QuestionRequest
from server.streams import StreamEntry

MAX_EXPLAINS = 1000
MAX_CONVERSATIONS = 1000
MAX_TURNS = 16
MAX_TURNS_BYTES = 32 * 1024


@dataclass(frozen=True)
class Delta:
    """More of the answer."""

    text: str


@dataclass(frozen=True)
class Done:
    """The end: an answer."""

    answer: AnswerReply


@dataclass(frozen=True)
class Failed:
    """The end: an error."""

    error: RequestError


@dataclass(eq=False)
class Run:
    """An accepted question. Deltas wait as one text, so a slow client finds them joined and nothing piles up."""

    id: str
    tenant: str
    entries: Sequence[StreamEntry]
    request: QuestionRequest
    arrival_us: int
    deadline_us: int
    asked: Asked
    on_leave: Callable[["Run"], None]
    since_us: int | None = None
    until_us: int | None = None
    now_us: int = 0
    attempt: int = 0
    sent_as: str | None = None
    text: str = ""
    timer: asyncio.TimerHandle | None = None
    _waiting: str = ""
    _end: Done | Failed | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """Whether the terminal is there."""
        return self._end is not None

    def add(self, text: str) -> None:
        """A delta came."""
        self.text += text
        self.asked.said += 1
        self._waiting += text
        self._wake.set()

    def end(self, terminal: Done | Failed, drop_waiting: bool = False) -> None:
        """The terminal came; only the first counts. drop_waiting: take back what was not read yet."""
        if self._end is None:
            if drop_waiting:
                self._waiting = ""
            self._end = terminal
            self._wake.set()

    async def next(self) -> Delta | Done | Failed:
        """What comes next; after the terminal, the terminal again."""
        while True:
            self._wake.clear()
            if self._waiting:
                text, self._waiting = self._waiting, ""
                return Delta(text)
            if self._end is not None:
                return self._end
            await self._wake.wait()

    async def result(self) -> AnswerReply:
        """The answer whole. Raises RequestError."""
        while True:
            item = await self.next()
            if isinstance(item, Done):
                return item.answer
            if isinstance(item, Failed):
                raise item.error

    def leave(self) -> None:
        """The client is gone: nobody waits for this any more."""
        self.on_leave(self)


@dataclass(frozen=True)
class Explained:
    """What is kept of an answer for `explain`."""

    tenant: str
    streams: frozenset[str]
    start_wall_us: int
    since_us: int | None
    until_us: int | None
    now_us: int
    content: str

    def used(self, stream: str, events: Sequence[str], since_us: int, until_us: int) -> bool:
        """Whether something of a forgotten range is in it."""
        if stream not in self.streams:
            return False
        return since_us <= self.now_us < until_us or any(event in self.content for event in events)


class Explains:
    """The last answers' explanations, in RAM only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Explained] = OrderedDict()

    def add(self, question_id: str, explained: Explained) -> None:
        """Keep one; the oldest goes when there are too many."""
        self._kept[question_id] = explained
        while len(self._kept) > MAX_EXPLAINS:
            self._kept.popitem(last=False)

    def get(self, tenant: str, question_id: str) -> Explained:
        """A tenant's own. Raises RequestError question_not_found."""
        found = self._kept.get(question_id)
        if found is None or found.tenant != tenant:
            raise RequestError("question_not_found", "there is no such question among the last answered ones", "id")
        return found

    def forget(self, stream: str, events: Sequence[str], since_us: int, until_us: int) -> None:
        """Drop what used forgotten memory."""
        for question_id, explained in list(self._kept.items()):
            if explained.used(stream, events, since_us, until_us):
                del self._kept[question_id]


@dataclass(frozen=True)
class _Kept:
    streams: frozenset[str]
    turn: Turn


class Conversations:
    """Earlier questions and answers by tenant and conversation, bounded in number and bytes, in RAM only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], list[_Kept]] = OrderedDict()

    def history(self, tenant: str, conversation: str | None) -> list[Turn]:
        """What was said before, oldest first."""
        if conversation is None:
            return []
        return [kept.turn for kept in self._kept.get((tenant, conversation), [])]

    def add(self, tenant: str, conversation: str | None, streams: frozenset[str], turn: Turn) -> None:
        """Remember a turn; the oldest turns and the conversations longest unused go."""
        if conversation is None:
            return
        turns = self._kept.pop((tenant, conversation), [])
        turns.append(_Kept(streams, turn))
        turns = turns[-MAX_TURNS:]
        while len(turns) > 1 and sum(len(one.turn.question) + len(one.turn.answer) for one in turns) > MAX_TURNS_BYTES:
            del turns[0]
        self._kept[(tenant, conversation)] = turns
        while len(self._kept) > MAX_CONVERSATIONS:
            self._kept.popitem(last=False)

    def forget(self, stream: str) -> None:
        """Drop every turn about a stream: an answer may tell what is to be forgotten."""
        for key, turns in list(self._kept.items()):
            left = [one for one in turns if stream not in one.streams]
            if left:
                self._kept[key] = left
            else:
                del self._kept[key]
