"""Pictures are put together from the pieces that RTP makes of them."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from perception.messages import Packet
from perception.sources.assemble import access_units

VIDEO, SOUND = 0, 1
IDR, SLICE, SPS = b"\x65", b"\x41", b"\x67"


def piece(data: bytes, pts_us: int | None, track: int = VIDEO, arrival_us: int = 0, codec: str = "h264") -> Packet:
    return Packet("t/cam", 1, track, codec, data, pts_us, arrival_us, arrival_us)


def unit(kind: bytes, body: bytes) -> bytes:
    return b"\0\0\0\1" + kind + body


bodies = st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\0", b"\1"))
pictures = st.lists(st.lists(st.tuples(bodies, st.sampled_from([IDR, SLICE, SPS])), min_size=1, max_size=4), max_size=6)


@given(pictures, st.randoms(use_true_random=False))
def test_any_cutting_gives_the_pictures_back(found: list[list[tuple[bytes, bytes]]], dice: object) -> None:
    whole, pieces = [], []
    for n, parts in enumerate(found):
        stamp = 1000 + 40_000 * n
        data = [unit(kind, body) for body, kind in parts]
        whole.append((b"".join(data), stamp))
        for one in data:
            cut = dice.randint(5, len(one))  # type: ignore[attr-defined]
            # Sender reports move stamps by some ticks, in the middle of a picture too.
            pieces += [piece(one[:cut], stamp + dice.randint(-100, 100))]  # type: ignore[attr-defined]
            pieces += [piece(one[cut:], stamp + 50)] if one[cut:] else []
    made = list(access_units(pieces, VIDEO))
    assert [one.data for one in made] == [data for data, _ in whole]
    assert all(abs((one.pts_us or 0) - stamp) <= 100 for one, (_, stamp) in zip(made, whole, strict=True))


def test_a_picture_has_arrived_with_its_last_piece_and_sound_passes_by() -> None:
    given = [
        piece(unit(SPS, b"a"), 0, arrival_us=1),
        piece(unit(IDR, b"b"), 0, arrival_us=2),
        piece(b"sound", 7, SOUND, arrival_us=3),
        piece(b"c", 0, arrival_us=4),
        piece(unit(SLICE, b"d"), 40_000, arrival_us=5),
    ]
    sound, first, last = access_units(given, VIDEO)
    assert sound.data == b"sound"
    assert (first.data, first.arrival_us, first.keyframe) == (unit(SPS, b"a") + unit(IDR, b"bc"), 4, True)
    assert (last.data, last.keyframe) == (unit(SLICE, b"d"), False)


def test_what_was_under_way_when_the_camera_died_is_lost() -> None:
    def dying() -> Iterator[Packet]:
        yield piece(unit(IDR, b"a"), 0)
        yield piece(unit(SLICE, b"b"), 40_000)
        raise OSError

    made = []
    try:
        made.extend(one.data for one in access_units(dying(), VIDEO))
    except OSError:
        made.append(b"died")
    assert made in ([], [unit(IDR, b"a"), b"died"], [b"died"])


def test_stamps_that_stand_still_fill_no_memory() -> None:
    large = unit(SLICE, b"x" * 2**20)
    made = list(access_units((piece(large, 5) for _ in range(40)), VIDEO))
    assert sum(len(one.data) for one in made) == 40 * len(large)
    assert max(len(one.data) for one in made) <= 18 * 2**20


def test_decoding_can_begin_where_the_standards_say() -> None:
    hevc = {16: True, 21: True, 33: True, 1: False, 9: False}
    for kind, begins in hevc.items():
        [made] = access_units([piece(unit(bytes([kind << 1, 1]), b"a"), 0, codec="hevc")], VIDEO)
        assert made.keyframe is begins
    for kind, begins in {b"\x65": True, b"\x67": True, b"\x41": False, b"\x06": False}.items():
        [made] = access_units([piece(unit(kind, b"a"), 0)], VIDEO)
        assert made.keyframe is begins
