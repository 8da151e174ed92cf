"""Channels: order across spills, bounds, a peer that is gone, what a predecessor left."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.messages import Message
from server.ipc.channel import Channel, ChannelClosed, socket_pair
from server.ipc.ring import RingFiles, RingReader, RingWriter, create_ring

pytestmark = pytest.mark.alone

KIB = 1024


class Note(Message, frozen=True):
    """A message of any size."""

    number: int
    payload: bytes = b""


class Other(Message, frozen=True):
    """A second kind: a channel takes a union."""

    number: int


@dataclass
class Ends:
    """Both ends of a channel; spills of up to 512 KiB."""

    limit: int = 4096
    limit_bytes: int = 64 * KIB * KIB
    rings: list[RingFiles] = field(default_factory=lambda: [create_ring("spill", 16, 64 * KIB, 1) for _ in range(2)])

    def __post_init__(self) -> None:
        self.sockets = socket_pair()
        self.here, self.there = self.channel(0), self.channel(1)

    def channel(self, side: int) -> Channel:
        out, back = self.rings[side], self.rings[1 - side]
        return Channel(
            self.sockets[side], Note | Other, RingWriter(out), RingReader(back, 0), self.limit, self.limit_bytes
        )

    def close(self) -> None:
        for files in self.rings:
            for fd in files.fds:
                os.close(fd)
        for end in self.sockets:
            end.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_messages_come_in_order_across_spills(ends: Ends) -> None:
    sent = [
        Note(number, bytes([number]) * size) for number, size in enumerate((0, 100 * KIB, 5, 40 * KIB, 33 * KIB, 1))
    ]
    for one in sent:
        assert ends.here.send(one)
    assert ends.here.send(Other(99))
    assert ends.there.receive() == [*sent, Other(99)]
    assert ends.there.receive() == []


def test_both_directions_are_apart(ends: Ends) -> None:
    big = Note(1, bytes(200 * KIB))
    assert ends.here.send(big)
    assert ends.there.send(Note(2, bytes(200 * KIB)))
    assert ends.there.receive() == [big]
    assert [one.number for one in ends.here.receive()] == [2]


def test_what_has_no_room_waits_and_follows_in_order(ends: Ends) -> None:
    sent = [Note(number, bytes(300 * KIB if number % 2 else 10)) for number in range(12)]
    for one in sent:
        assert ends.here.send(one)
    assert ends.here.wants_write
    got: list[Any] = []
    while len(got) < len(sent):
        got += ends.there.receive()
        ends.here.flush()
    assert got == sent
    assert not ends.here.wants_write


def test_a_socket_that_is_full_loses_nothing(ends: Ends) -> None:
    sent = [Note(number, bytes(20 * KIB)) for number in range(200)]
    for one in sent:
        assert ends.here.send(one)
    assert ends.here.wants_write
    got: list[Any] = []
    while len(got) < len(sent):
        got += ends.there.receive()
        ends.here.flush()
    assert got == sent


@pytest.mark.parametrize("bounds", [{"limit": 50}, {"limit_bytes": 1_000_000}])
def test_the_outbox_is_bounded(bounds: dict[str, int]) -> None:
    ends = Ends(**bounds)
    taken = 0
    while ends.here.send(Note(taken, bytes(20 * KIB))):
        taken += 1
        assert taken < 500
    assert ends.here.crowded
    got = 0
    while got < taken:
        got += len(ends.there.receive())
        ends.here.flush()
    assert not ends.here.crowded
    assert ends.here.send(Note(0))
    ends.close()


def test_a_message_larger_than_the_ring_takes_is_refused(ends: Ends) -> None:
    assert not ends.here.send(Note(0, bytes(513 * KIB)))
    assert ends.here.send(Note(1))
    assert ends.there.receive() == [Note(1)]


def test_an_end_that_is_gone_is_told_after_what_it_said(ends: Ends) -> None:
    ends.here.send(Note(1))
    ends.here.close()
    assert ends.there.receive() == [Note(1)]
    with pytest.raises(ChannelClosed):
        ends.there.receive()
    with pytest.raises(ChannelClosed):
        ends.there.send(Note(2))


def test_waiting_ends_with_a_message(ends: Ends) -> None:
    assert not ends.there.wait(0.0)
    ends.here.send(Note(1))
    assert ends.there.wait(10.0)


def test_a_successor_does_not_hear_what_was_said_to_its_predecessor(ends: Ends) -> None:
    for number in range(3):
        ends.here.send(Note(number, bytes(150 * KIB)))
    ends.there.receive()
    for number in range(3):
        ends.here.send(Note(number, bytes(150 * KIB)))
    successor = ends.channel(1)
    successor.discard()
    assert successor.receive() == []
    ends.here.flush()
    successor.discard()
    ends.here.send(Note(7, bytes(400 * KIB)))
    assert successor.receive() == [Note(7, bytes(400 * KIB))]


def test_a_spill_whose_note_was_never_sent_does_not_clog_the_ring(ends: Ends) -> None:
    """The sender died between ring and socket: its successor's messages arrive all the same."""
    RingWriter(ends.rings[0]).put(bytes(500 * KIB))
    successor = ends.channel(0)
    assert successor.send(Note(1, bytes(400 * KIB)))
    assert ends.there.receive() == [Note(1, bytes(400 * KIB))]
    assert successor.send(Note(2, bytes(500 * KIB)))
    assert ends.there.receive() == [Note(2, bytes(500 * KIB))]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=40))
def test_any_mixture_arrives_as_it_was_sent(script: list[tuple[int, bool]]) -> None:
    ends = Ends()
    sent: list[Note] = []
    got: list[Any] = []
    for number, (size_kib, reads) in enumerate(script):
        one = Note(number, bytes([number]) * size_kib * KIB)
        if ends.here.send(one):
            sent.append(one)
        if reads:
            got += ends.there.receive()
    while ends.here.wants_write or len(got) < len(sent):
        got += ends.there.receive()
        ends.here.flush()
    assert got == sent
    ends.close()


def test_a_message_of_no_known_kind_is_an_error(ends: Ends) -> None:
    ends.sockets[0].send(msgspec.msgpack.encode(["Stranger", 1]))
    with pytest.raises(msgspec.ValidationError):
        ends.there.receive()
