"""The form in which every model is shown what a question is answered from."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from memory.messages import Evidence, SpeechLine
from memory.timewords import zone_of
from perception.window import WindowFrame
from reasoning.messages import AskedStream, Turn
from reasoning.prompt import ChatMessage, Prompt, age, clock_time, stream_id

S = 1_000_000
DAY_US = round(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * S
CAM = "default/cam"


def us(clock: str) -> int:
    """A time of that day, as the stream's media time: the stream starts at midnight."""
    hours, minutes, seconds = clock.split(":")
    return (int(hours) * 3600 + int(minutes) * 60) * S + round(float(seconds) * S)


def stream(now: str = "10:15:07", name: str = CAM, zone: str = "UTC") -> AskedStream:
    return AskedStream(name, 0, DAY_US, us(now), "", zone)


def window_frame(clock: str, name: str = CAM) -> WindowFrame:
    return WindowFrame(name, us(clock), 7, clock.encode(), None)


def keyframe(clock: str, name: str = CAM) -> Evidence:
    return Evidence(name, "e_1", 0, us(clock), us(clock), us(clock) + S, 0.5, clock.encode())


def heard(clock: str, words: str, name: str = CAM) -> SpeechLine:
    return SpeechLine(name, us(clock), us(clock) + S, words)


def prompt(**changed: Any) -> Prompt:
    given: dict[str, Any] = {
        "system": "Watch.",
        "streams": [stream()],
        "history": [],
        "evidence": [keyframe("10:14:20")],
        "speech": [heard("10:14:22", "Good morning.")],
        "window": [window_frame("10:15:05.5"), window_frame("10:15:07")],
        "question": "Who came in?",
    }
    return Prompt(**(given | changed))


def written(shown: Prompt) -> str:
    """The user's message with each picture as `<frame>`."""
    return "".join(part if isinstance(part, str) else "<frame>" for part in shown.messages()[-1].parts)


def test_the_message_has_the_form_that_models_are_trained_on() -> None:
    assert written(prompt()) == (
        "Earlier:\n"
        "[10:14:20, 47 s ago]<frame>\n"
        '[10:14:22, 45 s ago] heard: "Good morning."\n'
        "Now:\n"
        "[10:15:05, 1.5 s ago]<frame>\n"
        "[10:15:07, now]<frame>\n"
        "Question: Who came in?"
    )


def test_the_system_text_comes_first_and_earlier_questions_are_turns_of_their_own() -> None:
    messages = prompt(history=[Turn("Is it open?", "Yes."), Turn("Since when?", "Since ten.")]).messages()
    assert messages[:-1] == [
        ChatMessage("system", ["Watch."]),
        ChatMessage("user", ["Question: Is it open?"]),
        ChatMessage("assistant", ["Yes."]),
        ChatMessage("user", ["Question: Since when?"]),
        ChatMessage("assistant", ["Since ten."]),
    ]
    assert messages[-1].role == "user"
    assert messages[-1].parts == prompt().messages()[-1].parts


def test_texts_between_pictures_are_one_part_each() -> None:
    kinds = [isinstance(part, str) for part in prompt().messages()[-1].parts]
    assert kinds == [True, False, True, False, True, False, True]


def test_pictures_come_in_the_order_in_which_they_are_shown() -> None:
    shown = prompt(evidence=[keyframe("10:14:40"), keyframe("10:14:20")])
    assert [picture.jpeg for picture in shown.pictures()] == [b"10:14:20", b"10:14:40", b"10:15:05.5", b"10:15:07"]
    assert shown.pictures() == [part for part in shown.messages()[-1].parts if not isinstance(part, str)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"evidence": [], "speech": []}, "Now:\n[10:15:05, 1.5 s ago]<frame>\n[10:15:07, now]<frame>\n"),
        ({"window": [], "speech": []}, "Earlier:\n[10:14:20, 47 s ago]<frame>\n"),
        ({"window": [], "evidence": []}, 'Earlier:\n[10:14:22, 45 s ago] heard: "Good morning."\n'),
        ({"window": [], "evidence": [], "speech": []}, ""),
    ],
)
def test_a_part_with_nothing_to_show_goes_with_its_heading(changed: dict[str, Any], expected: str) -> None:
    assert written(prompt(**changed)) == f"{expected}Question: Who came in?"


def test_speech_stands_among_the_frames_of_its_time() -> None:
    lines = [heard("10:15:06", " two\nlines "), heard("10:15:05.5", "as it began"), heard("10:14:20", "before")]
    assert written(prompt(speech=lines, evidence=[keyframe("10:14:30")])) == (
        "Earlier:\n"
        '[10:14:20, 47 s ago] heard: "before"\n'
        "[10:14:30, 37 s ago]<frame>\n"
        "Now:\n"
        '[10:15:05, 1.5 s ago] heard: "as it began"\n'
        "[10:15:05, 1.5 s ago]<frame>\n"
        '[10:15:06, 1 s ago] heard: "two lines"\n'
        "[10:15:07, now]<frame>\n"
        "Question: Who came in?"
    )


def test_several_streams_are_named_and_sorted_by_the_time_on_the_wall() -> None:
    # The yard's stream began a minute later: its media times are a minute less.
    yard = AskedStream("default/yard", 1, DAY_US + 60 * S, us("10:14:07"), "", "UTC")
    shown = prompt(
        streams=[stream(), yard],
        evidence=[keyframe("10:14:20"), keyframe("10:13:10", yard.stream)],
        speech=[heard("10:13:30", "hello", yard.stream)],
        window=[window_frame("10:15:07"), window_frame("10:14:05", yard.stream)],
    )
    assert written(shown) == (
        "Earlier:\n"
        "[yard 10:14:10, 57 s ago]<frame>\n"
        "[cam 10:14:20, 47 s ago]<frame>\n"
        '[yard 10:14:30, 37 s ago] heard: "hello"\n'
        "Now:\n"
        "[yard 10:15:05, 2 s ago]<frame>\n"
        "[cam 10:15:07, now]<frame>\n"
        "Question: Who came in?"
    )


def test_each_stream_has_its_own_zone_and_its_own_now() -> None:
    tokyo = stream("10:00:00", "default/tokyo", "Asia/Tokyo")
    shown = prompt(
        streams=[stream(), tokyo],
        evidence=[],
        speech=[],
        window=[window_frame("10:15:07"), window_frame("09:59:50", tokyo.stream)],
    )
    assert "[tokyo 18:59:50, 10 s ago]<frame>\n[cam 10:15:07, now]<frame>" in written(shown)


def test_another_day_is_written_with_its_date() -> None:
    shown = prompt(evidence=[keyframe("-1:30:00")], speech=[])
    assert written(shown).startswith("Earlier:\n[2026-03-01 23:30:00, 10 h ago]<frame>\nNow:\n[10:15:05, ")


def test_what_is_another_day_depends_on_the_zone() -> None:
    now, before = DAY_US + us("04:00:00"), DAY_US - us("01:00:00")
    assert clock_time(before, UTC, now) == "2026-03-01 23:00:00"
    assert clock_time(before, ZoneInfo("America/New_York"), now) == "18:00:00"
    assert clock_time(before, ZoneInfo("Asia/Tokyo"), now) == "08:00:00"
    assert clock_time(now, UTC, now - 4 * 3600 * S - 1) == "2026-03-02 04:00:00"


def test_an_unknown_zone_is_utc() -> None:
    assert zone_of("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    for name in ("Nowhere/Never", "", "../../etc/passwd", "\0"):
        assert zone_of(name) == UTC, name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "now"),
        (0, "now"),
        (0.249, "now"),
        (0.3, "0.3 s ago"),
        (0.96, "1 s ago"),
        (1.5, "1.5 s ago"),
        (2, "2 s ago"),
        (9.94, "9.9 s ago"),
        (9.96, "10 s ago"),
        (47.4, "47 s ago"),
        (119.4, "119 s ago"),
        (119.6, "2 min ago"),
        (12 * 60 + 59, "12 min ago"),
        (7199, "119 min ago"),
        (7200, "2 h ago"),
        (5 * 3600 + 3599, "5 h ago"),
        (172_799, "47 h ago"),
        (172_800, "2 d ago"),
        (3 * 86_400 + 80_000, "3 d ago"),
    ],
)
def test_an_age_is_in_the_largest_unit_that_says_enough(seconds: float, text: str) -> None:
    assert age(round(seconds * S)) == text


def test_the_tenant_is_no_part_of_the_name() -> None:
    assert [stream_id(name) for name in ("default/cam", "cam", "default/a/b")] == ["cam", "cam", "a/b"]


def test_a_smaller_prompt_drops_turns_then_speech_then_evidence_then_frames_the_oldest_first() -> None:
    shown: Prompt | None = prompt(
        history=[Turn("a", "b"), Turn("c", "d")],
        speech=[heard("10:14:22", "one"), heard("10:14:23", "two")],
        evidence=[keyframe("10:14:20"), keyframe("10:14:30")],
    )
    whole, sizes, last = shown, [], shown
    while shown is not None:
        last = shown
        sizes.append((len(shown.history), len(shown.speech), len(shown.evidence), len(shown.window)))
        shown = shown.smaller()
    assert sizes == [
        (2, 2, 2, 2),
        (1, 2, 2, 2),
        (0, 2, 2, 2),
        (0, 1, 2, 2),
        (0, 0, 2, 2),
        (0, 0, 1, 2),
        (0, 0, 0, 2),
        (0, 0, 0, 1),
    ]
    assert whole is not None
    assert last is not None
    assert written(last) == "Now:\n[10:15:07, now]<frame>\nQuestion: Who came in?"
    smaller = whole.smaller()
    assert smaller is not None
    assert list(smaller.history) == [Turn("c", "d")]
    for name, kept in (("speech", whole.speech[1]), ("evidence", whole.evidence[1])):
        empty: dict[str, Any] = {"history": [], "speech": []} if name == "evidence" else {"history": []}
        dropped = replace(whole, **empty).smaller()
        assert dropped is not None
        assert list(getattr(dropped, name)) == [kept]


def test_the_last_frame_and_the_question_are_never_dropped() -> None:
    assert prompt(evidence=[], speech=[], window=[window_frame("10:15:07")]).smaller() is None
    assert prompt(evidence=[], speech=[], window=[]).smaller() is None
