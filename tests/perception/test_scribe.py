"""Speech written down beside the steps: order, barriers, failures, bounds, forgetting, ends."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from perception.messages import Barrier, FileSource, Percept, PushSource, Speech, WipeWindow
from perception.scribe import MOST_WAITING, Scribe
from perception.sound import SpeechSpan
from training import world_sound

SECOND = 1_000_000


class Writer:
    """A recogniser that waits until the test lets it go on, and hears the number of samples."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.woken = threading.Semaphore(0)

    def transcribe(self, span: SpeechSpan) -> str:
        assert self.go.acquire(timeout=30)
        if len(span.samples) == 13:
            raise RuntimeError("secret words")
        return f"{len(span.samples)} words"

    def wake(self) -> None:
        self.woken.release()

    def write(self, spans: int = 1) -> None:
        """Write some spans down, and wait until they are."""
        self.go.release(spans)
        for _ in range(spans):
            assert self.woken.acquire(timeout=30)


@pytest.fixture
def writer() -> Iterator[Writer]:
    one = Writer()
    yield one
    one.go.release(1000)


def span(start_s: int, samples: int = 1) -> SpeechSpan:
    return SpeechSpan(start_s * SECOND, (start_s + 1) * SECOND, np.zeros(samples, np.float32))


def speech(stream: str, start_s: int, text: str | None) -> Speech:
    return Speech(stream, start_s * SECOND, (start_s + 1) * SECOND, text)


# ---------------------------------------------------------------- order


def test_words_come_when_they_are_known_and_in_order(writer: Writer) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    assert scribe.take("a", span(1, 5)) + scribe.take("a", span(2, 6)) + scribe.take("b", span(1, 7)) == []
    assert not scribe.ready
    assert scribe.settled() == []
    writer.write()
    assert scribe.ready
    assert scribe.settled() == [speech("a", 1, "5 words")]
    writer.write(2)
    assert scribe.settled() == [speech("a", 2, "6 words"), speech("b", 1, "7 words")]
    assert not scribe.ready


def test_a_barrier_waits_behind_what_its_own_stream_said_before_it(writer: Writer) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    scribe.take("a", span(1))
    assert scribe.take("a", Barrier("a", 1)) == []
    assert scribe.take("b", Barrier("b", 2)) == [Barrier("b", 2)]
    scribe.take("a", span(2))
    writer.write()
    assert scribe.settled() == [speech("a", 1, "1 words"), Barrier("a", 1)]
    writer.write()
    assert scribe.settled() == [speech("a", 2, "1 words")]


def test_without_a_recogniser_or_a_way_to_be_woken_all_is_told_at_once() -> None:
    assert Scribe(None, None).take("a", span(1)) == [speech("a", 1, None)]
    assert Scribe(None, lambda: None).take("a", span(1)) == [speech("a", 1, None)]
    assert Scribe(lambda one: "yes", None).take("a", span(1)) == [speech("a", 1, "yes")]


# ---------------------------------------------------------------- failures and bounds


def test_a_recogniser_that_fails_leaves_the_words_out_and_goes_on(writer: Writer, caplog: Any) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    for samples in (13, 2):
        scribe.take("a", span(samples, samples))
    writer.write(2)
    assert scribe.settled() == [speech("a", 13, None), speech("a", 2, "2 words")]
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_when_too_much_waits_the_next_is_told_without_words_but_in_order(writer: Writer, caplog: Any) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    for n in range(MOST_WAITING + 2):
        assert scribe.full is (n >= MOST_WAITING)
        assert scribe.take("a", span(n)) == []
    assert len(caplog.records) == 1
    writer.write(MOST_WAITING)
    texts = [one.transcript for one in scribe.settled() if isinstance(one, Speech)]
    assert texts == ["1 words"] * MOST_WAITING + [None] * 2
    assert not scribe.full


# ---------------------------------------------------------------- forgetting and ends


def test_what_is_forgotten_is_told_no_more(writer: Writer) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    for n in range(1, 4):
        scribe.take("a", span(n))
    scribe.take("a", Barrier("a", 7))
    scribe.forget("a", 2 * SECOND, 2 * SECOND + 1)
    scribe.forget("b", 0, 9 * SECOND)
    writer.go.release(2)
    scribe.forget("a", 3 * SECOND, 9 * SECOND)
    assert writer.woken.acquire(timeout=30)
    while not scribe.ready:
        assert writer.woken.acquire(timeout=30)
    assert scribe.settled() == [speech("a", 1, "1 words"), Barrier("a", 7)]


def test_a_stream_that_is_closed_gives_what_it_said_without_words(writer: Writer) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    scribe.take("a", span(1))
    scribe.take("a", span(2))
    scribe.take("a", Barrier("a", 7))
    assert scribe.give_up("a") == [speech("a", 1, None), speech("a", 2, None), Barrier("a", 7)]
    assert scribe.give_up("a") == []


def test_at_the_end_words_that_are_known_in_a_moment_are_told(writer: Writer) -> None:
    scribe = Scribe(writer.transcribe, writer.wake)
    scribe.take("a", span(1))
    scribe.take("b", Barrier("b", 1))
    writer.go.release()
    assert scribe.close() == [speech("a", 1, "1 words")]


# ---------------------------------------------------------------- in the stage


def talk(bench: Any, seconds: float = 3) -> None:
    """Someone speaks, and is silent then."""
    sound = np.concatenate([world_sound.voice(seconds, 3), np.zeros(32_000, np.float32)])
    data = (sound * 32767).astype("<i2").tobytes()
    for n in range(0, len(data), 3200):
        at_us = n // 3200 * 100_000
        bench.send("pcm_s16le", data[n : n + 3200], at_us, track=1, rate=16_000, channels=1)


def picture(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(20, 236, (90, 160, 3), dtype=np.uint8)


def kinds(outputs: list[object], *wanted: type) -> list[object]:
    return [one for one in outputs if isinstance(one, wanted)]


def test_a_slow_recogniser_holds_up_no_camera_and_a_question_waits_for_it(make_bench: Any, writer: Writer) -> None:
    bench = make_bench(writer.transcribe, writer.wake)
    bench.open(PushSource("real"))
    bench.start()
    talk(bench)
    bench.stage.submit(Barrier("t/cam", 1))
    bench.push(picture(1), 6 * SECOND)
    outputs = bench.run()
    assert len(kinds(outputs, Percept)) == 1
    assert kinds(outputs, Speech, Barrier) == []
    writer.write()
    (said, barrier) = kinds(bench.run(), Speech, Barrier)
    assert isinstance(said, Speech)
    assert said.transcript is not None
    assert barrier == Barrier("t/cam", 1)


def test_a_file_waits_while_the_recogniser_is_behind(make_bench: Any, writer: Writer, monkeypatch: Any) -> None:
    monkeypatch.setattr("perception.scribe.MOST_WAITING", 1)
    bench = make_bench(writer.transcribe, writer.wake)
    bench.open(FileSource("x", "fast"))
    bench.start(1)
    talk(bench)
    bench.push(picture(1), 6 * SECOND)
    bench.run()
    bench.push(picture(2), 7 * SECOND)
    assert kinds(bench.run(), Percept) == []
    assert not bench.stage.has_work()
    writer.write()
    assert [type(one) for one in kinds(bench.run(), Speech, Percept)] == [Percept, Speech]


def test_forgetting_reaches_what_is_being_said_and_what_waits_for_its_words(make_bench: Any, writer: Writer) -> None:
    bench = make_bench(writer.transcribe, writer.wake)
    bench.open(PushSource("real"))
    bench.start()
    talk(bench)
    bench.run()
    bench.now_us = 60 * SECOND
    bench.stage.submit(WipeWindow("t/cam", 1, 0, 90 * SECOND))
    writer.write()
    assert kinds(bench.run(), Speech) == []


def test_nothing_of_a_sentence_that_was_forgotten_half_way_is_told(bench: Any) -> None:
    bench.open(PushSource("real"))
    bench.start()
    sound = (world_sound.voice(4, 3) * 32767).astype("<i2").tobytes()
    for n in range(0, len(sound), 3200):
        bench.send("pcm_s16le", sound[n : n + 3200], n // 3200 * 100_000, rate=16_000, channels=1)
        if n == 3200 * 20:
            bench.run()
    bench.now_us = 60 * SECOND
    bench.stage.submit(WipeWindow("t/cam", 1, 0, 90 * SECOND))
    bench.end()
    assert kinds(bench.run(), Speech) == []
