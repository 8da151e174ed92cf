"""Real clips joined into one video and served over RTSP: are the cuts found, is the evidence true, does a picture find
its shot? The clips are those of the folder OMNILIVE_MEDIA; without it the project's own procedural world is shown."""

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clients.api import Api, Json
from evaluation.boundaries import (
    Matched,
    Reference,
    event_boundaries,
    luma_psnr,
    match,
    offset_us,
    pictures_at,
    reference,
)
from evaluation.checks import Check, share_check
from evaluation.clips import Picture
from evaluation.joined import FPS, MEDIA, SIZE, Shot, choose, join
from evaluation.live_push import wall_s
from evaluation.registry import Progress
from evaluation.rtsp_camera import RtspCamera
from evaluation.server_process import ServerProcess
from evaluation.wait import until
from training.world import World, write_video

NAME = "shots"
MAX_EVENT_S = 30
SAME_PTS_US = 1000
"""The clocks of RTP and of the server both round."""
_FILMS = 6
_FILM_S = 30.0


@dataclass(frozen=True)
class Stored:
    """A keyframe as the server keeps it."""

    media_us: int
    picture: Picture


@dataclass(frozen=True)
class Show:
    """The video that is shown, its shots, and where it comes from."""

    path: Path
    shots: list[Shot]
    source: str

    def __str__(self) -> str:
        return f"{len(self.shots)} shots of {self.source}"


def run(full: bool, progress: Progress) -> list[Check]:
    """16 shots in the quick profile, up to 60 in the full one."""
    with ServerProcess() as server, Api(server.url) as api:
        progress("the clips are joined")
        show = _show(server.videos / "shots.mp4", 60 if full else 16)
        known = reference(show.path)
        _watch(api, show, known, progress)
        events = api.events(NAME)
        progress("the evidence is compared")
        stored = [one for event in events for one in _stored(api, event)]
        if not stored:
            raise RuntimeError("the server stored nothing")
        offset = offset_us(known, [(one.media_us, one.picture) for one in stored])
        evidence = _evidence(known, offset, stored)
        progress("pictures are searched for")
        found = _search(api, show, known, offset, stored)
        encoder = str(api.get("/v1/server")["encoder"])
    spans = [(event["media_start_us"] - offset, event["media_end_us"] - offset) for event in events]
    cuts = match([shot.start_us for shot in show.shots[1:]], event_boundaries(spans, MAX_EVENT_S * 1_000_000))
    return [*_cuts(cuts, full, show), *evidence, _searched(found, full, encoder)]


def _show(path: Path, shots: int) -> Show:
    given = os.environ.get(MEDIA)
    chosen = choose(Path(given) if given else _films(path.with_name("films")), shots)
    source = f"clips of {MEDIA}" if given else f"the procedural world ({MEDIA} is not set)"
    return Show(path, join(chosen, path), f"{source}, {chosen.left_out} look-alike quarters left out")


def _films(folder: Path) -> Path:
    """A folder with films of the procedural world, one a seed."""
    folder.mkdir()
    for seed in range(_FILMS):
        write_video(World(seed).script(_FILM_S), folder / f"world{seed}.mp4", *SIZE, fps=FPS, sound=None)
    return folder


def _watch(api: Api, show: Show, known: Reference, progress: Progress) -> None:
    """Let the server watch the video once. The camera goes shortly before its end: it would be watched again."""
    seconds = float(known.pts_us[-1] - known.pts_us[0]) / 1e6
    with RtspCamera(str(show.path), loop=False) as camera:
        progress(f"the server watches {seconds:.0f} s over RTSP")
        api.add(NAME, {"url": camera.url}, memory={"max_event_s": MAX_EVENT_S})
        until(lambda: camera.connections, 30, "the server connects to the camera")
        over = time.monotonic() + seconds - 0.5
        until(lambda: api.stream(NAME)["last_frame"], 30, "a frame of the camera")
        time.sleep(max(0.0, over - time.monotonic()))
    until(lambda: api.stream(NAME)["state"] != "live", 30, "the camera is missed")
    until(lambda: _all_kept(api, show), 20, "the last event is kept")


def _all_kept(api: Api, show: Show) -> bool:
    """Memory's events reach into the last seconds of what was shown."""
    events = api.events(NAME)
    spans = [(event["media_start_us"], event["media_end_us"]) for event in events]
    return bool(spans) and spans[-1][1] - spans[0][0] >= show.shots[-1].end_us - 3_000_000


def _stored(api: Api, event: Json) -> list[Stored]:
    """The event's keyframes, by media time."""
    begun_s = wall_s(event["start"])
    found = []
    for frame in event["frames"]:
        media_us = event["media_start_us"] + round((wall_s(frame["time"]) - begun_s) * 1e6)
        picture = np.asarray(Image.open(io.BytesIO(api.picture(frame["url"]))).convert("RGB"))
        found.append(Stored(media_us, picture))
    return found


# ---------------------------------------------------------------- figures


def _cuts(cuts: Matched, full: bool, show: Show) -> list[Check]:
    note = f"{cuts.true} cuts, {cuts.found} found, {cuts.right} of them right within 1 s; {show}"
    return [
        share_check("shots.recall", cuts.right, cuts.true, ">= 0.95", full=full, note=note),
        share_check("shots.precision", cuts.right, cuts.found, ">= 0.90", full=full, note=note),
    ]


def _evidence(known: Reference, offset: int, stored: Sequence[Stored]) -> list[Check]:
    """The worst likeness of a stored frame to the frame of the same time, decoded offline at the stored size; and how
    many stored frames have a time that no frame has."""
    pts = [known.nearest(one.media_us - offset) for one in stored]
    apart_us = [abs(one.media_us - offset - at) for one, at in zip(stored, pts, strict=True)]
    height, width = stored[0].picture.shape[:2]
    pictures = pictures_at(known.path, pts, (width, height))
    likeness = [luma_psnr(one.picture, pictures[at]) for one, at in zip(stored, pts, strict=True)]
    note = f"worst of {len(stored)} frames, mean {sum(likeness) / len(likeness):.1f}"
    off = sum(one > SAME_PTS_US for one in apart_us)
    return [
        Check("shots.psnr_db", min(likeness), "dB", ">= 35", note=note),
        Check("shots.pts_off", off, "frames", "<= 0", note=f"of {len(stored)}; at most {max(apart_us)} us apart"),
    ]


def _search(api: Api, show: Show, known: Reference, offset: int, stored: Sequence[Stored]) -> list[bool]:
    """For each shot, a frame of it that is far from all stored ones: is the best event one of this shot?"""
    kept = [one.media_us - offset for one in stored]
    chosen = {shot: pts for shot in show.shots if (pts := other_frame(shot, known, kept)) is not None}
    pictures = pictures_at(show.path, list(chosen.values()))
    return [_finds(api, shot, pictures[pts], offset) for shot, pts in chosen.items()]


def other_frame(shot: Shot, known: Reference, kept_us: Sequence[int]) -> int | None:
    """The pts inside the shot that is farthest from what is stored; None where every frame is stored."""
    margin = (shot.end_us - shot.start_us) // 10
    inside = [int(pts) for pts in known.pts_us if shot.start_us + margin <= pts < shot.end_us - margin]
    apart = {pts: min((abs(pts - one) for one in kept_us), default=shot.end_us) for pts in inside}
    best = max(apart, key=lambda pts: apart[pts], default=None)
    return best if best is not None and apart[best] > 10_000 else None


def _finds(api: Api, shot: Shot, picture: Picture, offset: int) -> bool:
    with io.BytesIO() as buffer:
        Image.fromarray(picture).save(buffer, format="PNG")
        events = api.search(NAME, buffer.getvalue(), limit=1)
    if not events:
        return False
    middle = (events[0]["media_start_us"] + events[0]["media_end_us"]) / 2 - offset
    return bool(shot.start_us <= middle < shot.end_us)


def _searched(found: Sequence[bool], full: bool, encoder: str) -> Check:
    note = f"{sum(found)} of {len(found)} shots by a frame that is not stored; encoder {encoder}"
    return share_check("shots.search", sum(found), len(found), ">= 0.95", full=full, note=note)
