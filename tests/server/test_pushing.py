"""A sender of a push stream: whose stream it is, when perception takes its media, what a barrier waits for."""

import asyncio
from typing import Any

import pytest

from memory.messages import BarrierReached, MemoryOpened, OpenMemory
from perception.messages import Barrier, OpenStream, Packet, SessionStarted
from server.errors import RequestError
from server.pushing import Media


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


PICTURE = Media(0, "jpeg", b"a picture", None)


async def pusher(rig: Any, pace: str = "real") -> Any:
    await rig.add("cam", push=True, pace=pace)
    return rig.hub.pusher(rig.hub.registry.find("default", "cam"))


async def test_media_waits_until_the_new_perception_watches_the_stream(rig: Any) -> None:
    sender = await pusher(rig)
    await sender.push(PICTURE)
    rig.host.lose("perception")
    rig.host.silent.add(OpenMemory)
    rig.host.come_back("perception")
    rig.host.pushed.clear()
    pushing = asyncio.create_task(sender.push(PICTURE))
    await settle()
    # Perception is there, and knows no stream yet.
    assert rig.host.pushed == []
    rig.host.say("memory", MemoryOpened("default/cam", 5, None))
    await pushing
    assert len(rig.host.of(OpenStream)) == 2
    assert [type(one) for one in rig.host.pushed] == [SessionStarted, Packet]


async def test_a_barrier_waits_until_the_new_perception_watches_the_stream(rig: Any) -> None:
    sender = await pusher(rig)
    await sender.push(PICTURE)
    rig.host.lose("perception")
    rig.host.silent.add(OpenMemory)
    rig.host.come_back("perception")
    reached = sender.barrier()
    await settle()
    assert not any(isinstance(one, Barrier) for one in rig.host.pushed)
    rig.host.say("memory", MemoryOpened("default/cam", 5, None))
    await reached
    assert isinstance(rig.host.pushed[-1], Barrier)


async def test_a_perception_that_does_not_come_back_is_told(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.pushing.REAL_PATIENCE_S", 0.01)
    monkeypatch.setattr("server.pushing.BARRIER_PATIENCE_S", 0.01)
    sender = await pusher(rig)
    await sender.push(PICTURE)
    rig.host.lose("perception")
    for _ in range(2):
        # What has no mark needs one still.
        with pytest.raises(RequestError) as caught:
            await sender.barrier()
        assert caught.value.code == "not_ready"
    with pytest.raises(RequestError) as caught:
        await sender.push(PICTURE)
    assert caught.value.code == "not_ready"


async def test_all_who_ask_before_a_mark_is_reached_wait_for_it(rig: Any) -> None:
    sender = await pusher(rig)
    rig.host.silent.add(Barrier)
    assert sender.barrier() is None
    await sender.push(PICTURE)
    first, second = sender.barrier(), sender.barrier()
    assert first is not None
    assert second is not None
    first.cancel()
    barriers = [one for one in rig.host.pushed if isinstance(one, Barrier)]
    assert len(barriers) == 1
    assert not second.done()
    rig.host.say("memory", BarrierReached("default/cam", barriers[0].barrier))
    await second
    assert sender.barrier() is None


@pytest.mark.parametrize("pace", ["real", "fast"])
async def test_no_media_passes_by_a_mark_that_has_no_place_yet(rig: Any, pace: str) -> None:
    sender = await pusher(rig, pace)
    await sender.push(PICTURE)
    rig.host.room = False
    reached = sender.barrier()
    pushing = asyncio.create_task(sender.push(PICTURE))
    await settle()
    assert len(rig.host.pushed) == 2
    rig.host.room = True
    await asyncio.gather(reached, pushing)
    assert [type(one) for one in rig.host.pushed] == [SessionStarted, Packet, Barrier, Packet]


async def test_a_sender_that_goes_leaves_no_mark_behind(rig: Any) -> None:
    sender = await pusher(rig)
    await sender.push(PICTURE)
    rig.host.room = False
    reached = sender.barrier()
    number = rig.hub.core.next_request() - 1
    sender.close()
    rig.host.room = True
    await settle()
    assert not rig.hub.core.waiters.resolve(("Barrier", number), None)
    assert not any(isinstance(one, Barrier) for one in rig.host.pushed)
    assert not reached.done()


async def test_who_sends_no_packet_replaces_nobody(rig: Any) -> None:
    old = await pusher(rig)
    entry = rig.hub.registry.find("default", "cam")
    await old.push(PICTURE)
    new = rig.hub.pusher(entry)
    assert entry.sender is old
    await old.push(PICTURE)
    await new.push(PICTURE)
    assert entry.sender is new
    with pytest.raises(RequestError) as caught:
        await old.push(PICTURE)
    assert caught.value.code == "sender_replaced"
    new.close()
    # Once replaced is for good: the old one has to connect again.
    with pytest.raises(RequestError):
        await old.push(PICTURE)


async def test_a_packet_without_its_session_is_not_counted_as_taken(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.pushing.REAL_PATIENCE_S", 0.01)
    sender = await pusher(rig)
    rig.host.room = False
    await sender.push(PICTURE)
    rig.host.room = True
    value = rig.hub.core.metrics.registry.get_sample_value
    assert value("omnilive_pushed_total", {"stream": "cam", "outcome": "dropped"}) == 1
    assert rig.host.pushed == []
    await sender.push(PICTURE)
    assert [type(one) for one in rig.host.pushed] == [SessionStarted, Packet]
