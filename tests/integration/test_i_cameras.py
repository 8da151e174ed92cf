"""Bars I1 to I3, I5 to I8 and I12: cameras that misbehave, watched by the real processes beside one that does not.

I4 is tests/perception/test_clock.py and test_lane_time.py; I10, I11 and I13 have files of their own beside this one.
"""

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from fakecam.films import bomb, world_film
from fakecam.programmes import Counted, Spoiled, freezing, hours, jumping, switching
from PIL import Image as Pillow

from clients.api import Api
from clients.live import Live
from evaluation.rtp import Piece
from evaluation.rtsp_camera import Programme, RtspCamera

pytestmark = pytest.mark.alone

NOTICED_S, NEAR_S = 10.0, 5.0
LONG = pytest.param(75.0, marks=pytest.mark.slow)
AS_OFTEN, ENOUGH, BACKOFF_S, BACK_S = 0.95, 100, 2.0, 2.0
"""Bar I1: share of the others' pictures, of so many; the longest pause after a first attempt in vain, and what comes on
top."""
PATIENCE_S = 30.0
"""For a machine that does something else besides."""


@pytest.fixture
def api(server: Any) -> Iterator[Api]:
    with Api(server.url) as one:
        yield one


@pytest.fixture
def watch(api: Api) -> Iterator[Callable[..., str]]:
    """Adds cameras; they are forgotten with the test."""
    names: list[str] = []

    def add(camera: RtspCamera | str, **options: Any) -> str:
        names.append(f"i-{len(names)}")
        api.add(names[-1], {"url": camera if isinstance(camera, str) else camera.url}, **options)
        return names[-1]

    yield add
    for name in names:
        api.remove(name)


@pytest.fixture
def neighbour(api: Api, watch: Callable[..., str], until: Any) -> Iterator[Callable[[], None]]:
    """Another camera that does well: `neighbour()` looks whether it goes on being seen, on the same processes."""
    with RtspCamera(world_film(seed=2)) as camera:
        name = watch(camera)
        seen = until(lambda: api.stream(name)["frames"]["received"], PATIENCE_S)
        restarts = total_restarts(api)

        def look() -> None:
            before = api.stream(name)["frames"]["received"]
            until(lambda: api.stream(name)["frames"]["received"] > before, PATIENCE_S)
            assert before >= seen
            assert total_restarts(api) == restarts
            assert camera.connections == 2, "one that asks and one that stays"

        yield look
        look()


def total_restarts(api: Api) -> int:
    return sum(one["restarts"] for one in api.get("/v1/server")["processes"].values())


def most_bytes(pid: int) -> int:
    """The most memory that a process has had since that was counted afresh."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def marked(api: Api, name: str, since: str | None = None) -> list[bool]:
    """Of each stored frame from some time on, whether it says that it is suspect."""
    frames = [
        frame for event in api.events(name) for frame in event["frames"] if since is None or frame["time"] >= since
    ]
    return [Pillow.open(io.BytesIO(api.picture(one["url"]))).info.get("comment") == b"suspect" for one in frames]


def state(api: Api, name: str) -> tuple[str, str]:
    stream = api.stream(name)
    return stream["state"], (stream["error"] or {}).get("code", "")


def telling(programme: Programme, seconds: float, over: threading.Event) -> Programme:
    """The same, which says when it has been sent for so long."""

    def watched() -> Iterator[Piece]:
        for piece in programme():
            if piece.at_s > seconds:
                over.set()
            yield piece

    return watched


def said(server: Any) -> list[str]:
    """The log's lines, but for those that tell of our own requests."""
    return [line for line in server.errors().splitlines() if "server.access" not in line]


def is_ordered(api: Api, name: str) -> bool:
    """No event ends before it begins, none begins before the last one ended."""
    events = api.events(name)
    lengths = all(one["media_start_us"] <= one["media_end_us"] for one in events)
    return lengths and all(one["media_end_us"] <= later["media_start_us"] for one, later in pairwise(events))


def away_s(stream: Any) -> float:
    """How far the newest frame's stamp is from now."""
    newest = datetime.fromisoformat(stream["last_frame"])
    return abs((datetime.now(UTC) - newest).total_seconds())


# ---------------------------------------------------------------- I1, I2


def test_i1_a_camera_that_dies_is_missed_and_tried_again_without_haste(
    api: Api, watch: Any, neighbour: Any, until: Any
) -> None:
    with RtspCamera(world_film()) as camera:
        name = watch(camera)
        until(lambda: state(api, name)[0] == "live", PATIENCE_S)
        # It answers the door, and shuts it at once.
        camera.behaviour, before = "slam", camera.connections
        camera.drop()
        until(lambda: state(api, name)[0] == "offline", NOTICED_S)
        began = time.monotonic()
        until(lambda: camera.connections - before >= 3, PATIENCE_S)
        # An attempt is two connections, and there is at most one a second.
        assert (camera.connections - before) / 2 <= 2 + (time.monotonic() - began)
        neighbour()
        camera.behaviour = "normal"
        until(lambda: state(api, name) == ("live", ""), PATIENCE_S)


@pytest.mark.parametrize("deaths", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_i1_others_are_seen_as_often_while_a_camera_dies_and_comes_back(
    api: Api, watch: Any, until: Any, deaths: int
) -> None:
    film = world_film(seed=2)
    sending = Counted(film.endless)
    with RtspCamera(film, programme=sending) as other, RtspCamera(world_film()) as camera:
        name, dying = watch(other), watch(camera)
        until(lambda: {state(api, one)[0] for one in (name, dying)} == {"live"}, PATIENCE_S)
        for _ in range(deaths):
            camera.stop()
            until(lambda: state(api, dying)[0] == "offline", NOTICED_S)
            camera.start()
            until(lambda: state(api, dying) == ("live", ""), BACKOFF_S + BACK_S)
        until(lambda: sending.sent >= ENOUGH, PATIENCE_S)
        other.stop()
        # Told behind all that was on its way.
        until(lambda: state(api, name)[0] == "offline", NOTICED_S)
        assert api.stream(name)["frames"]["received"] >= AS_OFTEN * sending.sent
        assert other.connections == 2


@pytest.mark.parametrize("behaviour", ["mute", "silent"])
def test_i2_a_camera_that_says_nothing_is_a_timeout(
    api: Api, watch: Any, neighbour: Any, until: Any, behaviour: Any
) -> None:
    with RtspCamera(world_film(), behaviour=behaviour) as camera:
        name = watch(camera)
        until(lambda: state(api, name) == ("offline", "camera_timeout"), NOTICED_S)
        neighbour()
        camera.behaviour = "normal"
        until(lambda: state(api, name) == ("live", ""), PATIENCE_S)


# ---------------------------------------------------------------- I3


@pytest.mark.parametrize(
    ("jumps", "first"),
    [
        ([(1.0, hours(1)), (2.0, -hours(2)), (3.0, hours(1))], 0),
        ([], 2**32 - 90_000),
        ([(1.0, -45_000)], 0),
        ([(1.0, 2**31 + 5)], 0),
    ],
    ids=["hours", "wrap", "back", "half-the-range"],
)
def test_i3_stamps_that_jump_or_wrap_do_not_move_the_memory(
    api: Api, watch: Any, neighbour: Any, until: Any, jumps: Any, first: int
) -> None:
    film, sent = world_film(), threading.Event()
    with RtspCamera(film, programme=telling(jumping(film, jumps, first), 5.0, sent)) as camera:
        name = watch(camera, memory={"max_event_s": 1})
        farthest = 0.0

        def is_over() -> bool:
            nonlocal farthest
            stream = api.stream(name)
            if stream["last_frame"] is not None and stream["lag_ms"] is not None:
                # How late the processes are is another matter than what they take a stamp for.
                farthest = max(farthest, away_s(stream) - stream["lag_ms"] / 1000)
            return sent.is_set()

        until(is_over, PATIENCE_S)
        until(lambda: len(api.events(name)) >= 3, PATIENCE_S)
        assert farthest <= NEAR_S
        assert is_ordered(api, name)
        assert camera.connections == 2


# ---------------------------------------------------------------- I5


@pytest.mark.parametrize("seconds", [4.0, LONG])
def test_i5_spoiled_packets_end_nothing(
    server: Any, api: Api, watch: Any, neighbour: Any, until: Any, seconds: float
) -> None:
    """What FFmpeg conceals of them is marked in the frames that are kept."""
    film, enough = world_film(), threading.Event()
    spoiled = Spoiled(film, 0.002)
    with RtspCamera(film, programme=telling(spoiled, seconds, enough)) as camera:
        lines = len(said(server))
        name = watch(camera, memory={"max_event_s": 1})
        began = time.monotonic()
        until(enough.is_set, seconds + PATIENCE_S)
        until(lambda: any(marked(api, name)), PATIENCE_S)
        neighbour()
        assert len(said(server)) - lines <= 1 + time.monotonic() - began
        spoiled.mend()
        until(lambda: spoiled.whole_from, PATIENCE_S)
        # What was spoiled may still be on its way; a picture of which nothing could be decoded is not counted.
        until(lambda: api.stream(name)["frames"]["received"] >= spoiled.whole_from, PATIENCE_S)
        until(lambda: (now := api.stream(name))["state"] == "live" and now["error"] is None, PATIENCE_S)
        whole = api.stream(name)["last_frame"]
        until(lambda: len(marked(api, name, whole)) >= 2, PATIENCE_S)
        assert not any(marked(api, name, whole))
        assert is_ordered(api, name)
        assert camera.connections == 2


# ---------------------------------------------------------------- I6


@pytest.mark.parametrize("seconds", [5.0, LONG])
def test_i6_another_size_in_the_middle_is_followed(
    api: Api, watch: Any, neighbour: Any, until: Any, seconds: float
) -> None:
    films = [world_film(size=(320, 240)), world_film(size=(640, 360)), world_film(size=(176, 144))]
    enough = threading.Event()
    with RtspCamera(films[0], programme=telling(switching(films, 1.5), seconds, enough)) as camera:
        name = watch(camera)
        sizes: set[tuple[int, int]] = set()

        def seen() -> bool:
            size = api.stream(name)["size"]
            sizes.add(tuple(size or ()))  # type: ignore[arg-type]
            return {(320, 240), (640, 360), (176, 144)} <= sizes

        until(seen, PATIENCE_S)
        until(enough.is_set, seconds + PATIENCE_S)
        stream = api.stream(name)
        assert (stream["state"], stream["memory"]["gaps"]) == ("live", 0)
        assert camera.connections == 2


def test_i6_another_codec_after_a_reconnection_is_followed(api: Api, watch: Any, neighbour: Any, until: Any) -> None:
    with RtspCamera(world_film()) as camera:
        name = watch(camera)
        until(lambda: api.stream(name)["codec"] == "h264", PATIENCE_S)
        camera.show(world_film(codec="hevc"))
        until(lambda: (now := api.stream(name))["codec"] == "hevc" and now["state"] == "live", PATIENCE_S)
        camera.show(world_film(size=(640, 360)))
        until(lambda: (now := api.stream(name))["codec"] == "h264" and now["size"] == [640, 360], PATIENCE_S)
        assert is_ordered(api, name)


# ---------------------------------------------------------------- I7


def test_i7_a_picture_that_freezes_is_told_and_costs_nothing(api: Api, watch: Any, neighbour: Any, until: Any) -> None:
    frozen = threading.Event()
    frozen.set()
    moving, still = world_film(4.0), world_film(30.0, frozen=True)
    with RtspCamera(moving, programme=freezing(moving, still, frozen.is_set)) as camera:
        name = watch(camera)
        until(lambda: state(api, name)[0] == "live", PATIENCE_S)
        until(lambda: state(api, name)[0] == "frozen", 15 + NOTICED_S)
        stream = api.stream(name)
        assert stream["frames"]["encoded"] <= 2
        assert camera.connections == 2
        frozen.clear()
        until(lambda: state(api, name)[0] == "live", PATIENCE_S)


# ---------------------------------------------------------------- I8


def test_i8_reordered_pictures_come_in_their_order(
    server: Any, api: Api, watch: Any, neighbour: Any, until: Any
) -> None:
    with RtspCamera(world_film(6.0, b_frames=3, gop_s=2.0)) as camera:
        name = watch(camera, sample={"fps": 10})
        with Live(server.url, name) as live:
            live.subscribe("frames")
            times: list[str] = []

            def enough() -> bool:
                times.extend(one["time"] for one in live.told() if one["type"] == "frame")
                return len(times) >= 20

            until(enough, PATIENCE_S)
        assert times == sorted(set(times))
        assert api.stream(name)["frames"]["dropped"] == 0


# ---------------------------------------------------------------- I12


def test_i12_a_picture_that_claims_to_be_huge_is_refused_before_memory_is_taken(
    server: Any, api: Api, watch: Any, neighbour: Any, until: Any
) -> None:
    perception = psutil.Process(server.stages()["perception"]["pid"])
    # The most that it ever took is counted afresh.
    Path(f"/proc/{perception.pid}/clear_refs").write_text("5")
    before = perception.memory_info().rss
    with RtspCamera(bomb(16_384, 8_192)) as camera:
        name = watch(camera)
        until(lambda: api.stream(name)["frames"]["dropped"] >= 10, PATIENCE_S)
        assert api.stream(name)["frames"]["received"] == 0
        assert most_bytes(perception.pid) - before < 50 * 2**20


# ---------------------------------------------------------------- descriptions that are wrong


@pytest.mark.parametrize(
    ("old", "new", "codes"),
    [
        ("H264/90000", "X-NONE/90000", {"codec_not_supported"}),
        # Nothing of it passes for H.265: it is as if nothing came.
        ("H264/90000", "H265/90000", {"camera_closed", "camera_timeout"}),
        ("m=video", "m=application", {"source_invalid"}),
        ("v=0", "nonsense", set()),
    ],
    ids=["unknown-codec", "other-codec", "no-video", "nonsense-first"],
)
def test_a_wrong_description_is_that_camera_s_own_trouble(
    api: Api, watch: Any, neighbour: Any, until: Any, old: str, new: str, codes: set[str]
) -> None:
    with RtspCamera(world_film()) as camera:
        camera.sdp = camera.sdp.replace(old, new)
        name = watch(camera)
        if codes:
            until(lambda: state(api, name)[1] in codes, PATIENCE_S)
            neighbour()
            camera.show(world_film())
        until(lambda: state(api, name) == ("live", ""), PATIENCE_S)


def test_a_description_without_parameters_is_enough(api: Api, watch: Any, until: Any) -> None:
    with RtspCamera(world_film()) as camera:
        camera.sdp = re.sub("sprop-parameter-sets=[^;]+; ", "", camera.sdp)
        name = watch(camera)
        until(lambda: state(api, name) == ("live", ""), PATIENCE_S)
