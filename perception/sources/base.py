"""What a source is: something that runs on a thread of its own and hands packets over."""

import threading
from typing import Protocol

from perception.messages import Packet, SessionEnded, SessionStarted

Media = Packet | SessionStarted | SessionEnded


class Inbox(Protocol):
    """Where a source puts what it reads; safe from any thread."""

    def put(self, record: Media) -> None:
        """Hand a record over."""

    def wait_for_room(self, stream: str, stop: threading.Event) -> None:
        """Block until the stream has room for more, or `stop` is set."""


class Reader(Protocol):
    """A source that is pulled."""

    @property
    def stream(self) -> str:
        """The stream it reads for."""

    @property
    def session(self) -> int:
        """The number of the session under way."""

    @property
    def endless(self) -> bool:
        """Whether it is started again after a failure."""

    def run(self, inbox: Inbox, stop: threading.Event) -> None:
        """Read until the end or until `stop` is set, which may take some seconds. A bad source never raises."""
