"""Films as RTP: what is cut up comes together again, numbers and stamps run on, descriptions name what is sent."""

import struct
from itertools import islice

import pytest
from fakecam.films import world_film

from evaluation.rtp import FIRST_TICKS, VIDEO_CLOCK, Film, Piece, RtpSender, nal_kind, nal_units


def put_together(payloads: tuple[bytes, ...], codec: str) -> list[bytes]:
    """The NAL units again (RFC 6184, 5.8; RFC 7798, 4.4.3)."""
    units: list[bytes] = []
    for payload in payloads:
        if codec == "h264" and payload[0] & 31 == 28:
            head, body = bytes([payload[0] & 0xE0 | payload[1] & 31]), payload[2:]
            first = payload[1] & 0x80
        elif codec == "hevc" and payload[0] >> 1 & 63 == 49:
            head, body = bytes([payload[0] & 0x81 | (payload[2] & 63) << 1, payload[1]]), payload[3:]
            first = payload[2] & 0x80
        else:
            units.append(payload)
            continue
        if first:
            units.append(head)
        units[-1] += body
    return units


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_pictures_that_fit_in_no_packet_come_together_again(codec: str) -> None:
    film = world_film(2.0, size=(640, 360), codec=codec)
    key = film.pieces[0]
    assert len(key.payloads) > len(put_together(key.payloads, codec)), "nothing was cut up"
    assert max(len(payload) for piece in film.pieces for payload in piece.payloads) <= 1403
    kinds = [nal_kind(unit, codec) for unit in put_together(key.payloads, codec)]
    assert {7, 8, 5} <= set(kinds) if codec == "h264" else {32, 33, 34} <= set(kinds)


def test_units_are_found_behind_either_start_code() -> None:
    assert nal_units(b"\x00\x00\x00\x01\x67ab\x00\x00\x01\x68c\x00\x00\x00\x01\x65d") == [b"\x67ab", b"\x68c", b"\x65d"]


def test_an_endless_film_goes_on_on_one_clock() -> None:
    film = world_film(2.0)
    pieces = list(islice(film.endless(), 3 * len(film.pieces)))
    dues = [piece.at_s for piece in pieces]
    assert dues == sorted(dues)
    assert dues[len(film.pieces)] == pytest.approx(film.length_s + 0.1)
    assert [piece.ticks for piece in pieces] == [pytest.approx(due * VIDEO_CLOCK, abs=2) for due in dues]


def test_reordered_pictures_are_stamped_by_presentation_and_sent_in_the_order_of_decoding() -> None:
    film = world_film(2.0, b_frames=3)
    stamps = [piece.ticks for piece in film.pieces]
    assert stamps != sorted(stamps)
    assert min(stamps) >= 0


def test_packets_are_numbered_stamped_and_marked_at_the_end_of_a_picture() -> None:
    sender = RtpSender(0, VIDEO_CLOCK)
    sent = [
        *sender.packets(Piece(0, 0.0, 2**32 + 5, (b"a", b"b"), True)),
        *sender.packets(Piece(0, 0.0, 9, (b"c",), False)),
    ]
    unpacked = [struct.unpack("!BBHI", packet[:8]) for packet in sent]
    heads = [(*head, ticks - FIRST_TICKS) for *head, ticks in unpacked]
    assert heads == [(0x80, 96, 0, 5), (0x80, 96 | 0x80, 1, 5), (0x80, 96 | 0x80, 2, 9)]
    assert [packet[12:] for packet in sent] == [b"a", b"b", b"c"]
    kind, length, *_, ticks, packets, octets = struct.unpack("!xBHIIIIII", sender.report(7))
    assert (kind, length, ticks, packets, octets) == (200, 6, 7 + FIRST_TICKS, 3, 3)


def test_a_description_names_the_codec_and_its_parameters() -> None:
    def lines(film: Film) -> str:
        return film.sdp

    assert "a=rtpmap:96 H264/90000" in lines(world_film(2.0))
    assert "sprop-parameter-sets=" in lines(world_film(2.0))
    assert all(f"sprop-{one}=" in lines(world_film(2.0, codec="hevc")) for one in ("vps", "sps", "pps"))
