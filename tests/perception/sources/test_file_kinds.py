"""What kinds of files are read: every codec with what its decoder needs, no file that names another one."""

import os
from pathlib import Path
from typing import Any

import av
import pytest
from reading import fault_of, read
from writing import add_sound, edit, write_video

from perception.decode import VideoDecoder

RAW = [
    ("ffv1", "yuv420p", "mkv"),
    ("huffyuv", "yuv422p", "avi"),
    ("rawvideo", "yuv420p", "avi"),
    ("rawvideo", "uyvy422", "mov"),
    ("msmpeg4", "yuv420p", "avi"),
    ("wmv2", "yuv420p", "wmv"),
    ("qtrle", "rgb24", "mov"),
    ("libx264", "yuv420p", "mp4"),
    ("libvpx-vp9", "yuv420p", "webm"),
    ("mpeg2video", "yuv420p", "mpg"),
]


@pytest.mark.parametrize(("codec", "pix_fmt", "suffix"), RAW, ids=[f"{codec}.{suffix}" for codec, _, suffix in RAW])
def test_a_decoder_knows_what_its_container_says(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    packets, end, _ = read(write_video(tmp_path / f"clip.{suffix}", 5, codec=codec, pix_fmt=pix_fmt))
    first, *rest = packets
    assert {packet.video for packet in rest} == {None}
    decoder = VideoDecoder(first.codec, first.extradata, 10**6, first.video)
    pictures = [picture for packet in packets for picture in decoder.decode(packet)] + list(decoder.flush())
    assert [(one.frame.width, one.frame.height) for one in pictures] == [(160, 96)] * 5
    assert end.fault is None


# ---------------------------------------------------------------- what is not read


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A video outside, which others would name."""
    folder = tmp_path / "outside"
    folder.mkdir()
    return write_video(folder / "secret.ts", 5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{}'\n"),
        ("list.txt", "ffconcat version 1.0\nfile '{}'\n"),
        ("camera.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 26\n"),
    ],
)
def test_a_file_that_names_another_is_not_followed(tmp_path: Path, secret: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text.format(secret))
    assert fault_of(path) == "source_invalid"


def test_an_image_is_no_video(tmp_path: Path) -> None:
    assert (
        fault_of(write_video(tmp_path / "still.png", 1, codec="png", pix_fmt="rgb24", update="1")) == "source_invalid"
    )


def test_a_pipe_does_not_hold_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    assert fault_of(path) == "source_not_found"


# ---------------------------------------------------------------- odd contents


def test_a_tag_in_another_encoding_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "tagged.mkv"
    with av.open(str(write_video(tmp_path / "clip.mp4", 5))) as reader, av.open(str(path), "w") as writer:
        writer.metadata["title"] = "Cam_ra"
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = copy
                writer.mux(packet)
    packets, end, _ = read(edit(path, lambda data: data.replace(b"Cam_ra", "Caméra".encode("latin-1"))))
    assert (len(packets), end.fault) == (5, None)


def voiced(tmp_path: Path) -> Path:
    return add_sound(write_video(tmp_path / "clip.mp4", 10), tmp_path / "voiced.mkv", 1.0)


def test_sound_of_an_unknown_codec_is_left_out(tmp_path: Path) -> None:
    packets, end, _ = read(edit(voiced(tmp_path), lambda data: data.replace(b"A_AAC", b"A_XYZ")))
    assert {packet.codec for packet in packets} == {"h264"}
    assert (len(packets), end.fault) == (10, None)


def test_a_picture_of_an_unknown_codec_is_told(tmp_path: Path) -> None:
    path = edit(voiced(tmp_path), lambda data: data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ"))
    assert fault_of(path) == "codec_not_supported"


def test_a_cover_is_no_video(tmp_path: Path, monkeypatch: Any) -> None:
    path, cover = tmp_path / "song.m4a", tmp_path / "cover.png"
    write_video(cover, 1, codec="png", pix_fmt="rgb24", update="1")
    with (
        av.open(str(voiced(tmp_path))) as reader,
        av.open(str(cover)) as art,
        av.open(str(path), "w", format="mp4") as writer,
    ):
        sound = writer.add_stream_from_template(reader.streams.audio[0])
        picture = writer.add_stream_from_template(art.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        for packet in art.demux(video=0):
            if packet.size:
                packet.stream = picture
                writer.mux(packet)
        for packet in reader.demux(audio=0):
            if packet.size:
                packet.stream = sound
                writer.mux(packet)
    assert fault_of(path) == "source_invalid"
