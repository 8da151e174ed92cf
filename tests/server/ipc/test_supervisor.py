"""The three processes as one: links between them, deaths, hangs, restarts, stops. Stub stages, real processes."""

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from memory.messages import EventFound, FrameFound, GetFrame
from perception.messages import Barrier, CloseStream, Fault, Percept
from reasoning.messages import AnswerDone, AnswerFailed, Ask, AskedStream, CachesForgotten, ForgetCaches
from server.ipc.keeper import HostLimits
from server.ipc.messages import STAGES, StageName
from server.ipc.supervisor import StageStartFailed

pytestmark = pytest.mark.alone

HASTY = HostLimits(dump_s=0.8, kill_s=1.6)
"""Twice the heartbeat's period is not much: enough on a machine that is not overloaded."""


def ask(question_id: str, number: int, question: str = "hello") -> Ask:
    stream = AskedStream("t/a", 0, 0, 0, "", "UTC")
    return Ask(question_id, [stream], question, None, None, 16, 0, number, 0.0, 0, [])


# ------------------------------------------------------------ links


async def test_the_stages_are_ready_and_named(launch: Any) -> None:
    hosted = await launch()
    status = hosted.host.status()
    assert {stage: one.state for stage, one in status.items()} == dict.fromkeys(STAGES, "ready")
    assert all(one.rss_bytes > 1_000_000 and one.restarts == 0 for one in status.values())
    assert {call[1] for call in hosted.events.calls if call[0] == "ready"} == set(STAGES)
    for stage in STAGES:
        with open(f"/proc/{hosted.pid(stage)}/cmdline") as file:
            assert file.read().split("\0")[2] == stage
        assert len(os.listdir(f"/proc/{hosted.pid(stage)}/task")) <= 2


async def test_media_becomes_percepts_for_memory_and_server(launch: Any, until: Any) -> None:
    hosted = await launch()
    for number in range(100):
        await hosted.host.push(hosted.packet(number, bytes(50_000)))
    await hosted.reached(1)
    assert [line for line in hosted.diary if line.startswith("percept")] == [f"percept {n}" for n in range(100)]
    await until(lambda: hosted.events.percepts and hosted.events.percepts[-1] == Barrier("t/a", 1))
    seen = [one.media_us for one in hosted.events.percepts if isinstance(one, Percept)]
    assert seen == sorted(seen)
    assert seen[-1] == 99


async def test_a_question_goes_by_memory_and_window(launch: Any, until: Any) -> None:
    hosted = await launch()
    for number in range(6):
        hosted.push(number)
    await hosted.reached(1)
    assert hosted.host.send("reasoning", ask("q_1", 7))
    done = await until(lambda: hosted.events.messages(AnswerDone))
    assert done[0].question_id == "q_1"
    assert done[0].text == "HELLO 4"


async def test_large_messages_come_in_order_with_small_ones(launch: Any, until: Any) -> None:
    hosted = await launch()
    sizes = [10, 5_000_000, 0, 1_000_000, 40_000, 7_000_000, 7_000_000, 3]
    for request, size in enumerate(sizes):
        assert hosted.host.send("memory", GetFrame("t/a", request, "e", size))
    await until(lambda: len(hosted.events.messages(FrameFound)) == len(sizes))
    assert [(one.request, len(one.jpeg)) for one in hosted.events.messages(FrameFound)] == list(enumerate(sizes))


async def test_a_throttled_stream_waits_and_others_do_not(launch: Any, until: Any) -> None:
    hosted = await launch()
    assert hosted.host.try_push(hosted.packet(0, codec="throttle"))
    await until(lambda: not hosted.push(1))
    waiting = asyncio.ensure_future(hosted.host.push(hosted.packet(2)))
    assert hosted.host.try_push(hosted.packet(3, stream="t/b"))
    assert hosted.host.try_push(Barrier("t/a", 5))
    await until(lambda: Barrier("t/a", 5) in hosted.events.percepts)
    assert not waiting.done()
    assert hosted.host.send("perception", CloseStream("t/a"))
    await asyncio.wait_for(waiting, 10)
    await hosted.reached(6)
    assert [line for line in hosted.diary if line.startswith("percept")][-2:] == ["percept 3", "percept 2"]


async def test_a_perception_that_died_throttles_nobody(launch: Any, until: Any) -> None:
    hosted = await launch()
    pid = hosted.pid("perception")
    assert hosted.host.try_push(hosted.packet(0, codec="throttle"))
    await until(lambda: not hosted.push(1))
    os.kill(pid, signal.SIGKILL)
    await hosted.replaced("perception", pid)
    assert hosted.push(2)


# ------------------------------------------------------------ death


@pytest.mark.parametrize("stage", STAGES)
async def test_a_killed_stage_is_noticed_at_once_and_replaced(launch: Any, until: Any, stage: StageName) -> None:
    hosted = await launch()
    others = {one: hosted.pid(one) for one in STAGES if one != stage}
    pid = hosted.pid(stage)
    os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    await until(lambda: hosted.events.count("lost", stage))
    assert time.monotonic() - begin < 2
    await hosted.replaced(stage, pid)
    assert hosted.events.count("ready", stage) == 2
    assert hosted.host.status()[stage].restarts == 1
    assert {one: hosted.pid(one) for one in others} == others
    hosted.push(1)
    await hosted.reached(1)
    assert hosted.host.send("reasoning", ask("q_1", 1))
    await until(lambda: hosted.events.messages(AnswerDone))


async def test_memory_goes_on_where_it_was_killed(launch: Any, until: Any) -> None:
    hosted = await launch()
    hosted.push(0)
    await hosted.reached(1)
    pid = hosted.pid("memory")
    os.kill(pid, signal.SIGSTOP)
    for number in range(1, 41):
        await hosted.host.push(hosted.packet(number))
    os.kill(pid, signal.SIGKILL)
    await hosted.replaced("memory", pid)
    await hosted.reached(2)
    assert [line for line in hosted.diary if line.startswith("percept")] == [f"percept {n}" for n in range(41)]


async def test_reasoning_hears_that_memory_is_gone_and_back(launch: Any, until: Any) -> None:
    hosted = await launch()
    pid = hosted.pid("memory")
    os.kill(pid, signal.SIGSTOP)
    assert hosted.host.send("reasoning", ask("q_1", 1))
    os.kill(pid, signal.SIGKILL)
    failed = await until(lambda: hosted.events.messages(AnswerFailed))
    assert (failed[0].question_id, failed[0].fault.code) == ("q_1", "process_lost")
    await hosted.replaced("memory", pid)
    assert hosted.host.send("reasoning", ForgetCaches("t/a", 9, []))
    heard = await until(lambda: hosted.events.messages(CachesForgotten))
    assert heard[0].stream.endswith("lost ready")


async def test_a_reasoning_that_comes_before_memory_does_not_wait_for_it(make: Any, until: Any) -> None:
    hosted = make(memory="sleep 60")
    starting = asyncio.ensure_future(hosted.host.start())
    await until(lambda: hosted.events.count("ready", "reasoning"))
    assert hosted.host.send("reasoning", ForgetCaches("t/a", 9, []))
    heard = await until(lambda: hosted.events.messages(CachesForgotten))
    assert heard[0].stream == "lost"
    await hosted.host.stop(1.0)
    starting.cancel()


async def test_a_new_reasoning_hears_of_a_memory_that_hangs(launch: Any, until: Any) -> None:
    hosted = await launch(HostLimits(dump_s=0.8, kill_s=60.0))
    pid, memory = hosted.pid("reasoning"), hosted.pid("memory")
    os.kill(memory, signal.SIGSTOP)
    await until(lambda: hosted.host.status()["memory"].state == "hung")
    os.kill(pid, signal.SIGKILL)
    await hosted.replaced("reasoning", pid)
    assert hosted.host.send("reasoning", ForgetCaches("t/a", 9, []))
    heard = await until(lambda: hosted.events.messages(CachesForgotten))
    assert heard[0].stream == "ready"
    os.kill(memory, signal.SIGCONT)


async def test_an_answer_that_came_before_the_death_is_not_lost(launch: Any, until: Any) -> None:
    hosted = await launch()
    for request in range(50):
        hosted.host.send("memory", GetFrame("t/a", request, "e", 100_000))
    hosted.tell_memory("exit 3")
    await until(lambda: hosted.events.count("lost", "memory"))
    assert [one.request for one in hosted.events.messages(FrameFound)] == list(range(50))
    assert hosted.events.calls.index(("lost", "memory")) > max(
        place for place, call in enumerate(hosted.events.calls) if call[0] == "message"
    )


async def test_a_stage_that_raises_is_logged_and_replaced(launch: Any, until: Any, capfd: Any) -> None:
    hosted = await launch()
    pid = hosted.pid("memory")
    hosted.tell_memory("raise")
    await hosted.replaced("memory", pid)
    assert "RuntimeError: told to" in capfd.readouterr().err


async def test_nothing_is_sent_to_a_stage_that_is_not_there(launch: Any, until: Any) -> None:
    hosted = await launch(HostLimits(backoff_s=(30.0,)))
    os.kill(hosted.pid("memory"), signal.SIGKILL)
    await until(lambda: hosted.events.count("lost", "memory"))
    assert hosted.host.status()["memory"].state == "restarting"
    assert hosted.host.status()["memory"].pid is None
    assert not hosted.host.send("memory", GetFrame("t/a", 1, "e", 1))


async def test_a_handler_that_fails_does_not_take_other_messages_along(launch: Any, until: Any) -> None:
    hosted = await launch()
    taken, failures = hosted.events.on_message, []

    def on_message(stage: StageName, message: Any) -> None:
        if getattr(message, "request", -1) == 2:
            failures.append(message)
            raise RuntimeError("a bug of the server's")
        taken(stage, message)

    hosted.events.on_message = on_message
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    for request in range(5):
        hosted.host.send("memory", GetFrame("t/a", request, "e", 10))
    await until(lambda: len(hosted.events.messages(FrameFound)) == 4)
    assert len(failures) == 1


# ------------------------------------------------------------ restarts are counted


async def test_a_crash_loop_is_given_up_after_five_restarts(launch: Any, until: Any) -> None:
    hosted = await launch(HostLimits(backoff_s=(0.0,), healthy_s=60.0))
    for _ in range(6):
        pid = await until(lambda: hosted.host.status()["memory"].state == "ready" and hosted.pid("memory"))
        assert not [call for call in hosted.events.calls if call[0] == "fatal"]
        os.kill(pid, signal.SIGKILL)
        await until(lambda: hosted.events.count("lost", "memory") and hosted.host.status()["memory"].state != "ready")
    fatal = await until(lambda: [call for call in hosted.events.calls if call[0] == "fatal"])
    assert [(call[1], call[2].code) for call in fatal] == [("memory", "process_lost")]
    assert hosted.host.status()["memory"].restarts == 5


async def test_a_stage_that_was_well_for_a_while_may_die_again(launch: Any, until: Any) -> None:
    hosted = await launch(HostLimits(backoff_s=(0.0,), healthy_s=0.0, budget=2))
    for _ in range(4):
        pid = hosted.pid("reasoning")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: hosted.host.status()["reasoning"].state != "ready")
        await hosted.replaced("reasoning", pid)
    assert not [call for call in hosted.events.calls if call[0] == "fatal"]


async def test_a_refused_start_is_told_with_its_reason(make: Any) -> None:
    hosted = make(memory="refuse model_not_found")
    with pytest.raises(StageStartFailed) as failed:
        await hosted.host.start()
    assert failed.value.stage == "memory"
    assert failed.value.fault == Fault("model_not_found", "name another model")


async def test_a_stage_that_dies_while_it_loads_fails_the_start(make: Any) -> None:
    hosted = make(HostLimits(backoff_s=(0.0,)), perception="exit 9")
    with pytest.raises(StageStartFailed) as failed:
        await hosted.host.start()
    assert (failed.value.stage, failed.value.fault.code) == ("perception", "process_lost")
    assert hosted.host.status()["perception"].restarts == 5


async def test_a_stage_that_takes_long_to_die_while_it_loads_is_given_up_too(make: Any) -> None:
    hosted = make(HostLimits(backoff_s=(0.0,), budget=3, budget_window_s=0.0), perception="exit 9")
    with pytest.raises(StageStartFailed) as failed:
        await asyncio.wait_for(hosted.host.start(), 30)
    assert (failed.value.stage, failed.value.fault.code) == ("perception", "process_lost")
    assert hosted.host.status()["perception"].restarts == 3


async def test_a_stage_that_was_ready_may_die_again_after_the_window(launch: Any, until: Any) -> None:
    hosted = await launch(HostLimits(backoff_s=(0.0,), healthy_s=60.0, budget=1, budget_window_s=0.0))
    for _ in range(3):
        pid = hosted.pid("reasoning")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: hosted.host.status()["reasoning"].state != "ready")
        await hosted.replaced("reasoning", pid)
    assert not [call for call in hosted.events.calls if call[0] == "fatal"]


async def test_a_stage_that_is_not_ready_in_time_is_killed(make: Any, capfd: Any) -> None:
    hosted = make(HostLimits(ready_s=1.5, backoff_s=(0.0,), budget=1), memory="sleep 60")
    with pytest.raises(StageStartFailed) as failed:
        await hosted.host.start()
    assert failed.value.stage == "memory"
    assert "obey_folder" in capfd.readouterr().err  # the stacks were dumped


# ------------------------------------------------------------ hanging


async def test_a_hanging_stage_is_dumped_killed_and_replaced(launch: Any, until: Any, capfd: Any) -> None:
    hosted = await launch(HASTY)
    pid = hosted.pid("memory")
    hosted.tell_memory("sleep 60")
    await until(lambda: hosted.host.status()["memory"].state == "hung")
    await until(lambda: hosted.events.count("lost", "memory"))
    await hosted.replaced("memory", pid)
    err = capfd.readouterr().err
    assert "most recent call first" in err
    assert "_obey" in err


async def test_a_stage_that_is_stopped_for_a_while_goes_on(launch: Any, until: Any) -> None:
    hosted = await launch(HostLimits(dump_s=0.8, kill_s=15.0))
    pid = hosted.pid("reasoning")
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: hosted.host.status()["reasoning"].state == "hung")
    assert hosted.host.send("reasoning", ask("q_1", 1))
    os.kill(pid, signal.SIGCONT)
    await until(lambda: hosted.host.status()["reasoning"].state == "ready")
    await until(lambda: hosted.events.messages(AnswerDone))
    assert hosted.pid("reasoning") == pid


async def test_a_stage_that_is_stopped_for_good_is_replaced(launch: Any, until: Any) -> None:
    hosted = await launch(HASTY)
    pid = hosted.pid("perception")
    os.kill(pid, signal.SIGSTOP)
    await hosted.replaced("perception", pid)


async def test_a_long_step_that_was_announced_is_no_hang(launch: Any, until: Any) -> None:
    hosted = await launch(HASTY)
    pid = hosted.pid("memory")
    hosted.tell_memory("patience 30")
    await hosted.obeyed("patience 30")
    hosted.tell_memory("sleep 2.5")
    await hosted.obeyed("sleep 2.5")
    assert hosted.pid("memory") == pid
    assert [one.event.id for one in hosted.events.messages(EventFound)] == ["patience 30", "sleep 2.5"]


# ------------------------------------------------------------ stopping


async def test_stopping_finishes_what_came_before(launch: Any) -> None:
    hosted = await launch()
    for number in range(200):
        await hosted.host.push(hosted.packet(number, bytes(20_000)))
    await hosted.host.stop(10.0)
    assert hosted.diary[1:] == [*(f"percept {number}" for number in range(200)), "ended t/a", "closed"]
    assert {one.state for one in hosted.host.status().values()} == {"stopped"}
    assert not hosted.push(1)


async def test_stopping_insists(launch: Any, until: Any) -> None:
    hosted = await launch()
    pids = [hosted.pid(stage) for stage in STAGES]
    hosted.tell_memory("sleep 60")
    os.kill(hosted.pid("perception"), signal.SIGSTOP)
    begin = time.monotonic()
    await hosted.host.stop(0.3)
    assert time.monotonic() - begin < 5
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not hosted.events.count("lost", "perception")


async def test_stopping_while_a_stage_loads_does_not_wait_for_it(make: Any, until: Any) -> None:
    hosted = make(memory="sleep 60")
    starting = asyncio.ensure_future(hosted.host.start())
    await until(lambda: [one.state for one in hosted.host.status().values()].count("ready") == 2)
    begin = time.monotonic()
    await hosted.host.stop(20.0)
    assert time.monotonic() - begin < 5
    starting.cancel()


async def test_children_leave_signals_to_their_parent(launch: Any) -> None:
    hosted = await launch()
    pids = {stage: hosted.pid(stage) for stage in STAGES}
    for pid in pids.values():
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    await hosted.reached(1)
    assert hosted.host.send("reasoning", ask("q_1", 1))
    assert {stage: hosted.pid(stage) for stage in STAGES} == pids
