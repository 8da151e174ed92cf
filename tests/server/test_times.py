"""Times at the doors."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import RequestError
from server.times import Clock, parse_range, parse_time, parse_wall, wall_text

NOW = Clock(start_wall_us=1_763_000_000_000_000, now_us=3_600_000_000)


@given(st.integers(min_value=-62_135_596_800_000_000, max_value=253_402_300_799_999_999))
def test_what_is_written_is_read_back_exactly(wall_us: int) -> None:
    assert parse_wall(wall_text(wall_us), "since") == wall_us


@given(st.integers(min_value=-(2**70), max_value=2**70))
def test_any_time_can_be_written(wall_us: int) -> None:
    text = wall_text(wall_us)
    assert len(text) == 27
    assert text.endswith("Z")


@pytest.mark.parametrize(
    ("value", "media_us"),
    [
        ("-90s", 3_510_000_000),
        ("-10m", 3_000_000_000),
        ("-2h", -3_600_000_000),
        ("-7d", 3_600_000_000 - 7 * 86_400_000_000),
        ("-1.5s", 3_598_500_000),
        (12.5, 12_500_000),
        (0, 0),
        ("12.5", 12_500_000),
        ("2025-11-13T02:13:20Z", 0),
        ("2025-11-13T03:13:21+01:00", 1_000_000),
        ("2025-11-13T02:13:20.000001z", 1),
        ("2025-11-13 02:13:20.1234567Z", 123_456),
    ],
)
def test_the_three_ways_to_name_a_time(value: str | float, media_us: int) -> None:
    assert parse_time(value, NOW, "since") == media_us


@pytest.mark.parametrize(
    "value",
    [
        "", "yesterday", "10:15", "2025-11-13", "2025-11-13T02:13:20", "2025-13-01T00:00:00Z", "2025-11-13T25:00:00Z",
        "-5", "-5w", "--5s", "-٣s", "1e5", "nan", "inf", -1, float("nan"), float("inf"), 1e18, "2025-11-13T02:13:20Zx",
        "-s", "2025-11-13T02:13:20+99:99",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: str | float) -> None:
    with pytest.raises(RequestError) as caught:
        parse_time(value, NOW, "until")
    assert (caught.value.code, caught.value.param) == ("invalid_time", "until")


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    code = None
    try:
        parse_time(text, NOW, "since")
    except RequestError as error:
        code = error.code
    assert code in (None, "invalid_time")


@pytest.mark.parametrize("value", ["-999999999d", "-999999999.999999d", "-999999999h"])
def test_a_time_before_all_times_still_fits_in_a_message(value: str) -> None:
    since, until = parse_range(value, None, NOW)
    assert since is not None
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(since)) == since < -(10**15)
    assert until is None


def test_a_range_without_ends_is_open() -> None:
    assert parse_range(None, None, NOW) == (None, None)


def test_until_in_the_future_means_now() -> None:
    assert parse_range("-10m", "9999-12-31T23:59:59Z", NOW) == (3_000_000_000, NOW.now_us)


def test_since_a_little_ahead_is_forgiven() -> None:
    since, until = parse_range(3602, 3700, NOW)
    assert since == 3_602_000_000
    assert until is not None
    assert until > since


@pytest.mark.parametrize(
    ("since", "until", "code"),
    [
        ("-5m", "-10m", "invalid_time_range"),
        (10, 10, "invalid_time_range"),
        (3603, None, "time_in_future"),
        ("9999-12-31T00:00:00Z", None, "time_in_future"),
    ],
)
def test_ranges_that_make_no_sense(since: str | float, until: str | float | None, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_range(since, until, NOW)
    assert caught.value.code == code


def test_the_future_of_a_stream_whose_now_lies_back() -> None:
    clock = Clock(NOW.start_wall_us, 60_000_000, latest_us=3_600_000_000)
    assert parse_range("-10s", None, clock) == (50_000_000, None)
    assert parse_range(3000, None, clock) == (3_000_000_000, None)
    with pytest.raises(RequestError) as caught:
        parse_range(3603, None, clock)
    assert caught.value.code == "time_in_future"


@given(st.integers(0, 3600), st.integers(0, 10**6))
def test_a_range_is_never_upside_down(since: int, until: int) -> None:
    if since >= until:
        with pytest.raises(RequestError):
            parse_range(since, until, NOW)
        return
    since_us, until_us = parse_range(since, until, NOW)
    assert since_us is not None
    assert until_us is not None
    assert since_us < until_us
