"""Small films for cameras: some seconds of the procedural world in any size and codec; and one that claims too much."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from evaluation.rtp import Film, nal_kind, nal_units, read_film
from training.world import World, frames

ENCODERS = {"h264": "libx264", "hevc": "libx265"}


@lru_cache(maxsize=32)
def world_film(
    seconds: float = 4.0,
    size: tuple[int, int] = (320, 180),
    fps: int = 10,
    codec: str = "h264",
    gop_s: float = 1.0,
    b_frames: int = 0,
    frozen: bool = False,
    seed: int = 1,
) -> Film:
    """frozen: the first picture all the time. gop_s: from keyframe to keyframe."""
    pictures = list(islice(frames(World(seed).script(), *size, fps), 1 if frozen else round(seconds * fps)))
    if frozen:
        pictures *= round(seconds * fps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        _write(path, pictures, fps, ENCODERS[codec], round(gop_s * fps), b_frames)
        return read_film(str(path))


def _write(path: Path, pictures: list[NDArray[np.uint8]], fps: int, encoder: str, gop: int, b_frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "g": str(gop), "bf": str(b_frames), "sc_threshold": "0"}
        if encoder == "libx264":
            stream.options |= {"b-adapt": "0", "b-pyramid": "none"}
        else:
            keys = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:open-gop=0:log-level=none"
            stream.options |= {"x265-params": keys}
        for n, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# ---------------------------------------------------------------- a bomb


def bomb(width: int, height: int) -> Film:
    """A film whose parameter sets say that its pictures are that large: whoever believes it sets so much memory aside
    for the first packet. Sides must be multiples of 16."""
    film = world_film(2.0)
    claim = _parameter_set(width // 16, height // 16)
    pieces = tuple(replace(piece, payloads=tuple(_claiming(piece.payloads, claim))) for piece in film.pieces)
    return replace(film, pieces=pieces)


def claiming(unit: bytes, width: int, height: int) -> bytes:
    """An access unit in Annex B whose parameter sets say that its picture is that large."""
    return b"".join(
        b"\x00\x00\x00\x01" + one
        for one in _claiming(tuple(nal_units(unit)), _parameter_set(width // 16, height // 16))
    )


def _claiming(payloads: tuple[bytes, ...], claim: bytes) -> Iterator[bytes]:
    for payload in payloads:
        yield claim if nal_kind(payload, "h264") == 7 else payload


def _parameter_set(across: int, down: int) -> bytes:
    """A sequence parameter set of High profile, level 6.2 (ISO/IEC 14496-10, 7.3.2.1), its sides in macroblocks."""
    fields = [
        _golomb(0), _golomb(1), _golomb(0), _golomb(0), "0", "0",  # id, 4:2:0, 8 bits twice, no bypass, no matrix
        _golomb(0), _golomb(2), _golomb(1), "0",  # frame numbers, order of output, one reference, no gaps
        _golomb(across - 1), _golomb(down - 1), "1", "1", "0", "0",  # sides, frames only, inference, no crop, no VUI
    ]  # fmt: skip
    bits = "".join(fields) + "1"
    bits += "0" * (-len(bits) % 8)
    body = bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8))
    return b"\x67" + _escaped(bytes([100, 0, 62]) + body)


def _golomb(value: int) -> str:
    coded = f"{value + 1:b}"
    return "0" * (len(coded) - 1) + coded


def _escaped(data: bytes) -> bytes:
    """With emulation prevention (7.4.1)."""
    found, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            found.append(3)
            zeros = 0
        found.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(found)
