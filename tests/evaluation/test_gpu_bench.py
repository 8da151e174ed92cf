"""The benchmark of a GPU: all of it in small on the CPU, and what it says where there is no GPU."""

from collections.abc import Sequence
from typing import Any

import pytest

from clients.api import ApiError
from clients.media import MediaUnit
from evaluation import bench
from evaluation.micro import gpu
from evaluation.micro.gpu import Plan, measure
from evaluation.registry import BENCHES
from reasoning.random_large import TINY


def owed() -> list[str]:
    return [figure.id for part in BENCHES["gpu"].parts for figure in part.owes]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_figure_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    checks = measure(Plan(3, (2, 4), 1, 2, 2.0), TINY, "cpu", "the CPU", print)
    assert [check.id for check in checks] == owed()
    assert all(check.value is not None and check.value >= 0 for check in checks)
    assert all("the CPU" in check.note for check in checks)


def test_where_there_is_no_gpu_every_figure_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpu_name", lambda: None)
    [part] = BENCHES["gpu"].parts
    checks = bench.run_part(part, False, lambda _: None)
    assert [check.id for check in checks] == owed()
    assert all(check.value is None and not check.ok for check in checks)
    assert all("there is no CUDA device here" in check.note for check in checks)


@pytest.mark.parametrize(("keeps_up", "most", "found"), [(0, 8, 0), (1, 8, 1), (5, 8, 5), (8, 8, 8), (99, 8, 8)])
def test_the_most_streams_are_found(monkeypatch: pytest.MonkeyPatch, keeps_up: int, most: int, found: int) -> None:
    tried: list[int] = []

    def trial(api: Any, units: Sequence[MediaUnit], count: int) -> str:
        tried.append(count)
        return "" if count <= keeps_up else "2 frames were dropped"

    monkeypatch.setattr(gpu, "_trial", trial)
    monkeypatch.setattr(gpu, "_video", lambda *_, **__: [])
    check = gpu._streams(None, None, Plan(1, (1,), 1, most, 1.0), "a GPU", lambda _: None)  # type: ignore[arg-type]
    assert check.value == found
    assert len(tried) == len(set(tried)) <= 6
    assert ("2 frames were dropped" in check.note) == (keeps_up < most)


class Played:
    """A stream and its websocket."""

    def __init__(self, ttft_ms: float, dropped: int = 0, code: str = "") -> None:
        self._ttft_ms, self._dropped, self._code = ttft_ms, dropped, code

    def wait(self, name: str, timeout_s: float) -> Any:
        if self._code:
            raise ApiError(self._code, "no")
        return type("Reply", (), {"answer": {"timing": {"ttft_ms": self._ttft_ms}}})

    def stream(self, name: str) -> Any:
        return {"frames": {"dropped": self._dropped}}


@pytest.mark.parametrize(
    ("played", "why"),
    [
        (Played(300), ""),
        (Played(2500), "an answer began after 2500 ms"),
        (Played(300, dropped=3), "3 frames were dropped"),
        (Played(300, code="too_many_questions"), "a question ended with too_many_questions"),
    ],
)
def test_a_stream_that_is_not_kept_up_with_is_seen(played: Any, why: str) -> None:
    assert gpu._behind(played, played, "many-0") == why
