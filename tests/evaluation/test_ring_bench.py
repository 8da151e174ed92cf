"""The ring benchmark: it sees torn frames, and its parts work on a small scale."""

import os

import pytest

from evaluation.micro import ring as bench
from server.ipc.ring import RingReader, RingWriter, create_ring


@pytest.mark.parametrize(("payload", "torn"), [(b"\7" * 64, 0), (b"\7" * 56 + b"\7\7\7\7\7\7\7\6", 1), (b"\7" * 56, 1)])
def test_a_torn_frame_is_counted(monkeypatch: pytest.MonkeyPatch, payload: bytes, torn: int) -> None:
    monkeypatch.setattr(bench, "_TORN_BYTES", 64)
    files = create_ring("test", 8, 64, 1)
    writer, reader, found = RingWriter(files), RingReader(files, 0), bench.Torn()
    for _ in range(2):  # once in place, once copied
        writer.put(payload)
        bench._read_one(reader, found)
    assert (found.read, found.frames) == (2, 2 * torn)
    for fd in files.fds:
        os.close(fd)


def test_writers_are_killed_as_often_as_promised() -> None:
    found = bench._torn(frames=300, kills=2, progress=lambda text: None)
    assert found.read >= 300
    assert found.kills >= 2
    assert found.frames == 0


def test_latency_and_throughput_are_measured() -> None:
    said: list[str] = []
    ours, plain = bench._latency(3, said.append)
    assert ours > 0
    assert plain > 0
    assert len(said) == bench._RUNS
