"""Time words: what they mean, and that no text whatever breaks the parser or turns a range upside down."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.gate import decide
from memory.timewords import Moment, TimeRange, parse

S = 1_000_000
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 4, 9, 0, tzinfo=BERLIN)
NOW = datetime(2026, 3, 4, 15, 30, 0, tzinfo=BERLIN)


def us(wall: datetime) -> int:
    return (wall.astimezone(UTC) - START.astimezone(UTC)) // timedelta(microseconds=1)


def moment(now: datetime = NOW, zone: str = "Europe/Berlin") -> Moment:
    start_wall = (START - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Moment(us(now), start_wall, zone, (0, us(now)))


CLIP = Moment(90 * S, 1_700_000_000 * S, "UTC", (0, 90 * S))


def at(hour: int, minute: int = 0, second: int = 0, day: int = 4) -> int:
    return us(datetime(2026, 3, day, hour, minute, second, tzinfo=BERLIN))


N = us(NOW)
CASES = [
    ("what happened in the last 5 minutes?", N - 300 * S, N + 1),
    ("the past hour, please", N - 3600 * S, N + 1),
    ("who came in during the last half an hour", N - 1800 * S, N + 1),
    ("what did you see since ten minutes ago", N - 600 * S, N + 1),
    ("anything more than two hours ago?", None, N - 7200 * S),
    ("between 10 and 5 minutes ago", N - 600 * S, N - 300 * S + 1),
    ("from 10 to 5 minutes ago", N - 600 * S, N - 300 * S + 1),
    ("5-10 minutes ago", N - 600 * S, N - 300 * S + 1),
    ("between an hour and twenty minutes ago", N - 3600 * S, N - 1200 * S + 1),
    ("from an hour and ten minutes ago to 5 minutes ago", N - 4200 * S, N - 300 * S + 1),
    ("since an hour and twenty minutes ago", N - 4800 * S, N + 1),
    ("since twenty-five minutes ago", N - 1500 * S, N + 1),
    ("in the last hour and a half", N - 5400 * S, N + 1),
    ("in the last hour and 5 minutes", N - 3900 * S, N + 1),
    ("who was there at 10:15?", at(10, 15), at(10, 16)),
    ("who was there at 10:15:30?", at(10, 15, 25), at(10, 15, 36)),
    ("who was there at 3 pm?", at(15), at(15, 1)),
    ("who was there at 9 o'clock", at(9), at(9, 1)),
    ("around 11:00 what was on the table", at(10, 55), at(11, 5)),
    ("between 10:00 and 11:30 how many cars", at(10), at(11, 30)),
    ("from 22:00 to 23:15", at(22, day=3), at(23, 15, day=3)),
    ("what changed since 12:00?", at(12), N + 1),
    ("what was there before 12:00?", None, at(12)),
    ("what happened yesterday?", at(0, day=3), at(0, day=4)),
    ("who rang yesterday evening?", at(17, day=3), at(23, day=3)),
    ("who rang last night?", at(20, day=3), at(6)),
    ("what was there this morning?", at(5), at(12)),
    ("what was there today?", at(0), N + 1),
    ("what happened on Monday?", at(0, day=2), at(0, day=3)),
    ("yesterday at 10:15, who was it?", at(10, 15, day=3), at(10, 16, day=3)),
    ("what was on 2026-03-04T10:00:00+01:00", at(9, 59, 55), at(10, 0, 6)),
    ("at 2026-03-04 11:20 what was there", at(11, 20), at(11, 21)),
    ("what happened on 2026-03-03?", at(0, day=3), at(0, day=4)),
]


@pytest.mark.parametrize(("question", "since", "until"), CASES)
def test_words_on_the_wall_clock(question: str, since: int | None, until: int | None) -> None:
    found = parse(question, moment())
    assert (found.since_us, found.until_us) == (since, until)
    assert found.past


@pytest.mark.parametrize(
    ("question", "target"),
    [
        ("what was there at 37 s?", 37 * S),
        ("what was there at 37.5 seconds", 37_500_000),
        ("at the 37 second mark", 37 * S),
        ("at second 37, who spoke", 37 * S),
        ("what is shown 12 seconds into the video", 12 * S),
        ("what was shown at 0:37?", 37 * S + S // 2),
        ("what was shown at 0:01:05?", 65 * S + S // 2),
        ("20 seconds ago", 70 * S),
        ("a minute and a half ago", 0),
        ("twenty seconds earlier", 70 * S),
    ],
)
def test_words_on_the_clock_of_a_clip(question: str, target: int) -> None:
    found = parse(question, CLIP)
    assert found.target_us == target
    assert found.since_us is not None
    assert found.until_us is not None
    assert found.since_us <= target < found.until_us
    assert found.until_us - found.since_us <= 30 * S


def test_ranges_on_the_clock_of_a_clip() -> None:
    found = parse("between 10 and 20 seconds, what moved?", CLIP)
    assert (found.since_us, found.until_us) == (10 * S, 20 * S + 1)
    found = parse("in the first 15 seconds", CLIP)
    assert (found.since_us, found.until_us) == (0, 15 * S)
    found = parse("at the beginning", CLIP)
    assert (found.since_us, found.until_us) == (0, 30 * S)


@pytest.mark.parametrize(
    "question",
    ["what is this?", "is he doing this step?", "what colour is the car", "at which table", "a second car", ""],
)
def test_no_time_words_no_range(question: str) -> None:
    found = parse(question, moment())
    assert not found.limited
    assert found.order is None
    assert found.rest == question


def test_order() -> None:
    assert parse("when did the red car first appear?", moment()).order == "first"
    assert parse("the last time you saw the key", moment()).order == "last"
    assert parse("what happened in the last 5 minutes?", moment()).order is None


def test_a_wall_time_in_the_hour_that_a_zone_skips_is_a_time() -> None:
    night = datetime(2026, 3, 29, 12, 0, tzinfo=BERLIN)
    found = parse("who was there at 02:30?", moment(night))
    assert found.since_us is not None
    assert abs(found.since_us - us(datetime(2026, 3, 29, 3, 0, tzinfo=BERLIN))) <= 3600 * S


ZONES = st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"])
UNITS = st.sampled_from([("second", S), ("sec", S), ("minutes", 60 * S), ("h", 3600 * S), ("hours", 3600 * S)])


@given(st.integers(1, 999), UNITS, st.integers(0, 10**13))
def test_a_while_ago_holds_that_moment(count: int, unit: tuple[str, int], now: int) -> None:
    found = parse(f"what was there {count} {unit[0]} ago", Moment(now, 0, "UTC", (0, now)))
    assert found.target_us == now - count * unit[1]
    assert found.since_us is not None
    assert found.until_us is not None
    assert found.since_us < found.target_us < found.until_us <= now + 1


@given(
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 86400 * 400),
    st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]),
)
def test_a_clock_time_is_the_latest_that_is_not_to_come(hour: int, minute: int, now_s: int, zone: str) -> None:
    now = now_s * S
    found = parse(f"what was there at {hour:02}:{minute:02}", Moment(now, 1_700_000_000 * S, zone, (-(10**15), now)))
    assert found.since_us is not None
    wall = datetime.fromtimestamp(1_700_000_000 + found.since_us / S, ZoneInfo(zone))
    assert found.since_us <= now
    assert now - found.since_us <= 25 * 3600 * S
    if wall.hour == hour:
        assert wall.minute == minute


@pytest.mark.parametrize(
    ("question", "minutes"),
    [
        ("twenty-five minutes ago", 25),
        ("forty two minutes ago", 42),
        ("an hour and twenty minutes ago", 80),
        ("2 hours and 5 minutes ago", 125),
        ("1 hour 20 minutes ago", 80),
        ("1h20m ago", 80),
        ("1 hour, 2 minutes and 30 seconds ago", 62.5),
        ("two and a half hours ago", 150),
        ("an hour and a half ago", 90),
    ],
)
def test_a_length_is_the_sum_of_its_parts(question: str, minutes: float) -> None:
    found = parse(f"what was there {question}", moment())
    assert found.target_us == N - round(minutes * 60) * S
    assert found.words == (question,)


@pytest.mark.parametrize("question", ["what happens this night?", "this evening"])
def test_a_part_of_a_day_that_has_not_begun_is_no_range(question: str) -> None:
    assert not parse(question, moment()).limited
    later = parse(question, moment(NOW + timedelta(hours=6)))
    assert later.limited
    assert later.until_us == us(NOW + timedelta(hours=6)) + 1


@pytest.mark.parametrize("question", ["what happened 5 \u017f ago", "in the last 5 \u017fec", "at 5 \u212a"])
def test_a_letter_that_only_looks_like_one_of_a_unit_is_none(question: str) -> None:
    found = parse(question, moment())
    assert not found.limited
    assert found.rest == question


def test_a_run_of_white_space_is_looked_at_once() -> None:
    assert parse("a" + " " * 16_000 + "\t\u2003x", moment()).rest == "a x"
    assert parse("5 \n minutes\u00a0ago", moment()).target_us == N - 300 * S


VOCABULARY = """at ago last first yesterday 10:15 25:99 9999 2026-02-30 monday night seconds 5 minutes the since between
and to am pm morning half an hour . ? 0 99999999 weeks on this noon twenty -five \u017f \u212a , from until
a few"""
WORDS = st.sampled_from(VOCABULARY.split())


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=12).map(" ".join)), st.integers(-(2**55), 2**55))
def test_no_text_breaks_it(text: str, now: int) -> None:
    found = parse(text, Moment(now, 1_700_000_000 * S, "Europe/Berlin", (0, max(0, now))))
    assert isinstance(found, TimeRange)
    if found.since_us is not None and found.until_us is not None:
        assert found.since_us < found.until_us


@pytest.mark.parametrize(
    ("question", "past"),
    [
        ("What do you see?", False),
        ("What colour is the car right now?", False),
        ("Is the door closed?", False),
        ("Describe the scene", False),
        ("How many people are in the room?", False),
        ("Is anyone wearing a red hat?", False),
        ("What was on the table before the cup?", True),
        ("Who entered the room?", True),
        ("Did a red car pass?", True),
        ("How many times has the door opened?", True),
        ("When did the bell ring?", True),
        ("Have you seen my keys?", True),
        ("What happened?", True),
        ("Where did the ball go?", True),
        ("Which colour did the square have that has left the picture?", True),
        ("What was said 10 seconds ago?", True),
    ],
)
def test_the_gate(question: str, past: bool) -> None:
    gate = decide(question, parse(question, moment()), explicit=False)
    assert gate.past == past, gate.reasons
    assert gate.reasons
    assert decide(question, parse(question, moment()), explicit=True).past


def test_a_clock_time_before_a_young_stream_is_not_taken_for_the_streams_own() -> None:
    found = parse("what happened at 03:00?", moment(START + timedelta(minutes=30)))
    assert found.until_us is not None
    assert found.until_us < 0


@pytest.mark.parametrize(
    "question",
    ["what changed since I asked?", "what is new since I last asked you", "since my last question, who came?"],
)
def test_since_the_question_before_this_one(question: str) -> None:
    known = moment()
    found = parse(question, Moment(known.now_us, known.start_wall_us, known.zone, known.span_us, N - 90 * S))
    assert (found.since_us, found.until_us) == (N - 90 * S, N + 1)
    assert not parse(question, known).limited


@pytest.mark.parametrize(
    ("question", "since"),
    [
        ("who came at half past ten?", at(10, 30)),
        ("a quarter to nine, who was it", at(8, 45)),
        ("what was there at ten past three", at(15, 10)),
        ("at twenty-five to four", at(3, 35)),
        ("at quarter past twelve", at(12, 15)),
    ],
)
def test_a_clock_time_in_words(question: str, since: int) -> None:
    found = parse(question, moment())
    assert (found.since_us, found.until_us) == (since, since + 60 * S)


def test_days_by_their_other_names() -> None:
    found = parse("what happened the day before yesterday?", moment())
    assert (found.since_us, found.until_us) == (at(0, day=2), at(0, day=3))
    late = parse("who came tonight?", moment(NOW + timedelta(hours=7)))
    assert (late.since_us, late.until_us) == (at(20), us(NOW + timedelta(hours=7)) + 1)


@given(st.integers(1, 12), st.integers(1, 59), st.sampled_from(["past", "to"]), st.integers(0, 86400 * 400), ZONES)
def test_a_clock_time_in_words_is_within_the_last_half_day(
    hour: int, minutes: int, way: str, now_s: int, zone: str
) -> None:
    now = now_s * S
    asked = Moment(now, 1_700_000_000 * S, zone, (-(10**15), now))
    found = parse(f"what was there at {minutes} {way} {hour}", asked)
    assert found.since_us is not None
    # A day is an hour longer or shorter twice a year.
    assert 0 <= now - found.since_us <= 13 * 3600 * S
    wall = datetime.fromtimestamp(1_700_000_000 + found.since_us / S, ZoneInfo(zone))
    assert wall.minute == (minutes if way == "past" else 60 - minutes)


@given(st.integers(0, 6), st.sampled_from(["", "morning", "afternoon", "evening"]), st.integers(86400 * 8, 86400 * 400))
def test_a_named_day_is_one_of_the_last_seven(weekday: int, part: str, now_s: int) -> None:
    names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    now = now_s * S
    asked = Moment(now, 1_700_000_000 * S, "Europe/Berlin", (0, now))
    found = parse(f"what happened on {names[weekday]} {part}?", asked)
    assert found.since_us is not None
    assert found.until_us is not None
    assert found.since_us < found.until_us <= now + 1
    assert now - found.since_us <= 8 * 24 * 3600 * S
    start = datetime.fromtimestamp(1_700_000_000 + found.since_us / S, BERLIN)
    assert start.weekday() == weekday


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(-14, 14), st.sampled_from("T "))
def test_a_stamp_with_an_offset_is_that_moment(wall: datetime, hours: int, between: str) -> None:
    wall = wall.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    found = parse(f"who was there at {wall.isoformat(between)}?", moment())
    assert found.since_us is not None
    assert found.until_us is not None
    assert found.since_us <= us(wall.astimezone(UTC)) < found.until_us
    assert found.target_us is not None


@given(st.integers(1, 500), st.integers(1, 500), UNITS)
def test_a_range_of_ages_is_the_same_either_way(one: int, two: int, unit: tuple[str, int]) -> None:
    found = parse(f"between {one} and {two} {unit[0]} ago", moment())
    assert (found.since_us, found.until_us) == (N - max(one, two) * unit[1], N - min(one, two) * unit[1] + 1)
