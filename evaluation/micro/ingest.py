"""Perception's own work, its encoder stubbed: how fast a file is taken in, and what of a quiet scene is encoded.

The file's way is that of the server: the reader on a thread of its own, the inbox, the stage.
"""

import select
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.baselines.decode_loop import decode_s
from evaluation.checks import Check, share_check
from evaluation.clips import NOISY, Picture, moving_picture, sensor_noise, still_video, write_video
from evaluation.registry import Progress
from evaluation.stats import median
from perception.config import ModelConfig, PerceptionConfig, SoundConfig
from perception.encoders import Image, Vectors
from perception.messages import FileSource, OpenStream, Percept, StreamEnded
from perception.sources.file import FileReader
from perception.sources.inbox import SourceInbox
from perception.stage import PerceptionStage
from perception.window import LocalWindow

OBJECT_AREA: Final = 0.01
OBJECTS: Final = 200
_SHOWN_S: Final = 1.0
_PERIOD_S: Final = 2.0
_FPS: Final = 10
_SIZE: Final = (640, 360)
_LEAST_CONTRAST: Final = 40
"""An object's colour differs from what is behind it by so much in one channel at least: it can be seen."""
_CONFIG: Final = PerceptionConfig(ModelConfig(""), None, sound=SoundConfig(enabled=False))


Scene = NDArray[np.int16]


class _NoEncoder:
    """Costs nothing."""

    dim = 8

    def embed_images(self, images: list[Image]) -> Vectors:
        """The same vector for all."""
        return np.zeros((len(images), self.dim), np.float32)


def run(full: bool, progress: Progress) -> list[Check]:
    """20 s of 1080p30 for the rate, 30 s of quiet scenes, 200 objects; three times as long in the full profile."""
    times = 3 if full else 1
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        return [
            *_rate(folder, 20.0 * times, progress),
            _static(folder, 30.0 * times, progress),
            _objects(folder, full=full, progress=progress),
        ]


def perceived(path: Path) -> list[Percept]:
    """What perception encodes of a file at two looks a second."""
    stage = PerceptionStage(_CONFIG, _NoEncoder(), None, LocalWindow(8), None, lambda: time.monotonic_ns() // 1000)
    opened = OpenStream("bench/file", FileSource(str(path), "fast"), 0, 0, 0, 2.0)
    inbox, stop = SourceInbox(), threading.Event()
    stage.submit(opened)
    reader = threading.Thread(target=FileReader(opened, str(path), "fast").run, args=(inbox, stop))
    reader.start()
    found = list(_percepts(stage, inbox))
    reader.join()
    return found


def _percepts(stage: PerceptionStage, inbox: SourceInbox) -> Iterator[Percept]:
    """Step until the file has ended."""
    while True:
        if not stage.has_work():
            select.select([inbox], [], [], 1.0)
        for record in inbox.drain():
            stage.submit(record)
        for output in stage.step():
            if isinstance(output, Percept):
                yield output
            elif isinstance(output, StreamEnded):
                return
        inbox.set_full({"bench/file": not stage.room("bench/file")})


# ---------------------------------------------------------------- the rate


def _rate(folder: Path, seconds: float, progress: Progress) -> list[Check]:
    """By the clock, and by the processors' time: ours scales and compresses on another core than it decodes."""
    progress("a moving scene is made")
    video = write_video(folder / "moving.mp4", _noisy_pan(seconds), 30)
    decode_s(video)
    perceived(video)
    ours, bare, frames = _Times(), _Times(), 0
    for n in range(5):
        progress(f"the rate, round {n + 1} of 5")
        with ours.taken():
            perceived(video)
        with bare.taken():
            _, frames = decode_s(video)
    fast, least = frames / median(ours.wall_s), frames / median(bare.wall_s)
    note = f"1080p30 with noise, {frames} frames: ours {fast:.0f} frames/s, bare loop {least:.0f} frames/s"
    cpu = median(bare.cpu_s) / median(ours.cpu_s)
    return [
        Check("ingest.rate_ratio", fast / least, "ratio", ">= 0.9", note=note),
        Check("ingest.cpu_ratio", cpu, "ratio", note="the same by processor time of all threads"),
    ]


@dataclass
class _Times:
    """What each round took, by the clock and of the processors."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Time one round."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() - cpu)


def _noisy_pan(seconds: float) -> Iterator[Picture]:
    """A camera that pans at 1080p30: decoding pictures without a sensor's noise would be too easy."""
    dice = np.random.default_rng(5)
    noise = sensor_noise(dice, (2 * 1080, 2 * 1920, 3))
    for n in range(round(seconds * 30)):
        down, right = dice.integers(0, 1080), dice.integers(0, 1920)
        shown = moving_picture(1920, 1080, n / 30, 0) + noise[down : down + 1080, right : right + 1920]
        yield np.clip(shown, 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- quiet scenes


def _static(folder: Path, seconds: float, progress: Progress) -> Check:
    """The worst of four scenes: with all of the noise, and one whose quality pumps with each keyframe."""
    rates = []
    scenes = [((1280, 720), NOISY), (_SIZE, NOISY), (_SIZE, NOISY), (_SIZE, 28)]
    for seed, (size, crf) in enumerate(scenes):
        progress(f"a quiet scene, {seed + 1} of {len(scenes)}")
        video = still_video(folder / f"still{seed}.mp4", seconds, size=size, seed=seed, crf=crf)
        rates.append(len(perceived(video)) / seconds)
    note = f"worst of {len(scenes)} scenes with noise of sigma 2, {seconds:.0f} s each, the first frame counted"
    return Check("ingest.static_fps", max(rates), "frames/s", "<= 0.1", note=note)


def _objects(folder: Path, *, full: bool, progress: Progress) -> Check:
    """Objects that come one after the other and stay for a second: which are encoded within that second?"""
    progress(f"{OBJECTS} objects come and go")
    video = write_video(folder / "objects.mp4", _scenes(), _FPS, NOISY)
    times = np.array([percept.media_us for percept in perceived(video)])
    came = [round((n * _PERIOD_S + _PERIOD_S / 2) * 1e6) for n in range(OBJECTS)]
    seen = sum(bool(np.any((times >= at) & (times < at + 1_000_000))) for at in came)
    note = f"{seen} of {OBJECTS} objects of {OBJECT_AREA:.0%} of the area encoded within 1 s"
    return share_check("ingest.new_object", seen, OBJECTS, ">= 0.99", full=full, note=note)


def _scenes() -> Iterator[Picture]:
    """A noisy, still scene; in the second half of each period, something is in it."""
    dice = np.random.default_rng(7)
    width, height = _SIZE
    scene = moving_picture(width, height, 0.0, 3).astype(np.int16)
    noises = [sensor_noise(dice, (2 * height, 2 * width, 3)) for _ in range(4)]
    frames = round(_PERIOD_S * _FPS)
    for _ in range(OBJECTS):
        with_object = _placed(scene, dice)
        for n in range(frames):
            down, right = dice.integers(0, height), dice.integers(0, width)
            noise = noises[n % 4][down : down + height, right : right + width]
            shown = with_object if n >= frames // 2 else scene
            yield np.clip(shown + noise, 0, 255).astype(np.uint8)


def _placed(scene: Scene, dice: np.random.Generator) -> Scene:
    """The scene with an ellipse or a box of 1 % of its area, of any colour that shows there."""
    height, width = scene.shape[:2]
    area, tall = OBJECT_AREA * height * width, dice.uniform(0.6, 1.7)
    box = dice.random() < 0.5
    down = np.sqrt(area * tall / (1 if box else np.pi / 4)) / 2
    across = down / tall
    y, x = dice.uniform(down, height - down), dice.uniform(across, width - across)
    rows, columns = np.mgrid[:height, :width]
    away_y, away_x = (rows - y) / down, (columns - x) / across
    inside = (np.maximum(abs(away_y), abs(away_x)) if box else np.hypot(away_y, away_x)) <= 1
    behind = scene[inside].mean(axis=0)
    colour = dice.integers(0, 256, 3)
    while np.abs(colour - behind).max() < _LEAST_CONTRAST:
        colour = dice.integers(0, 256, 3)
    placed = scene.copy()
    placed[inside] = colour
    return placed
