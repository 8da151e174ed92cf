"""The demo's own judgement: good answers pass, and each thing that can go wrong is seen and said."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from clients import demo_view
from clients.api import Json
from clients.demo import choose_questions, run_demo
from clients.demo_checks import Asked, Clock, check_all, moments_of
from clients.live import Reply
from training.world import SECOND, Script, World

ZERO = datetime(2026, 11, 20, 23, 24, 34, 123456, tzinfo=UTC)
SCRIPT = World(3).script()


def wall(time_us: int) -> str:
    return (ZERO + timedelta(microseconds=time_us)).isoformat()


def picture() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(data, "JPEG")
    return data.getvalue()


def good_events(script: Script) -> list[Json]:
    spoken = [event for event in script.events if type(event).__name__ == "Spoke"]
    return [
        {
            "id": f"e_{n}",
            "start": wall(scene.start_us),
            "end": wall(scene.end_us),
            "media_start_us": scene.start_us,
            "speech": [{"start": wall(one.start_us), "end": wall(one.end_us)} for one in spoken] if n == 0 else [],
            "frames": [{"n": 0, "time": wall(scene.start_us + SECOND), "url": f"/frame/{n}"}],
        }
        for n, scene in enumerate(script.scenes)
    ]


def good_answer(script: Script, text: str) -> Json:
    first = script.scenes[0]
    return {
        "answer": text,
        "evidence": [
            {
                "event": "e_0",
                "start": wall(0),
                "end": wall(first.end_us),
                "score": 0.5,
                "frame": "/frame/0",
                "stream": "s",
            }
        ],
        "coverage": {"covered": "full", "start": wall(0), "end": wall(script.duration_us - SECOND // 2), "gaps": []},
        "staleness_ms": 40,
        "timing": {"queue_ms": 0.1, "recall_ms": 2.0, "prefill_ms": 80.0, "ttft_ms": 90.0, "total_ms": 200.0},
    }


def good_asked() -> list[Asked]:
    events, asked = good_events(SCRIPT), []
    for question in choose_questions(SCRIPT):
        answer = good_answer(SCRIPT, question.answer)
        reply = Reply(deltas=[(0.1, question.answer)], ends=[{"type": "done", "result": answer}])
        asked.append(Asked(question, reply, moments_of(answer, events, Clock(ZERO), lambda address: picture())))
    return asked


def failures(asked: list[Asked], events: list[Json] | None = None) -> set[str]:
    events = good_events(SCRIPT) if events is None else events
    return {check.name for check in check_all(SCRIPT, asked, events, Clock(ZERO)) if not check.ok}


def changed(asked: list[Asked], **answer: Any) -> list[Asked]:
    """The first answer changed."""
    one = asked[0]
    ends = [{"type": "done", "result": {**one.reply.answer, **answer}}]
    return [Asked(one.question, Reply(deltas=one.reply.deltas, ends=ends), one.moments), *asked[1:]]


def test_what_is_good_passes() -> None:
    assert failures(good_asked()) == set()


def test_the_past_question_of_the_example_is_proved_by_its_scene() -> None:
    past = [one for one in good_asked() if one.question.about == "past"]
    assert [one.question.text for one in past] == ["What colour was the star?"]
    assert past[0].proved


def test_a_second_end_is_seen() -> None:
    asked = good_asked()
    asked[0].reply.late = 1
    assert failures(asked) == {"exactly one end to each question"}


def test_pieces_that_are_not_the_answer_are_seen() -> None:
    asked = good_asked()
    asked[1].reply.deltas.append((0.2, " and more"))
    assert failures(asked) == {"the streamed pieces are the answer"}


def test_evidence_that_is_no_picture_is_seen() -> None:
    asked, events = good_asked(), good_events(SCRIPT)
    broken = moments_of(asked[1].reply.answer, events, Clock(ZERO), lambda address: picture()[:200])
    assert failures([asked[0], Asked(asked[1].question, asked[1].reply, broken), asked[2]]) == {
        "evidence is there as JPEG"
    }


def test_a_past_without_evidence_is_seen() -> None:
    asked = [Asked(one.question, one.reply, []) if one.question.about == "past" else one for one in good_asked()]
    assert failures(asked) == {"evidence is there as JPEG", "recall finds the true moment"}


def test_a_wrong_answer_is_seen() -> None:
    asked = changed(good_asked(), answer="purple elephants")
    asked[0].reply.deltas[:] = [(0.1, "purple elephants")]
    assert failures(asked) == {"the answers are true"}


def test_moments_beyond_the_film_are_seen() -> None:
    asked, events = good_asked(), good_events(SCRIPT)
    beyond = [{**asked[1].reply.answer["evidence"][0], "end": wall(SCRIPT.duration_us + 5 * SECOND)}]
    moments = moments_of({"evidence": beyond}, events, Clock(ZERO), lambda address: picture())
    late = Asked(asked[1].question, asked[1].reply, moments)
    assert failures([asked[0], late, asked[2]]) == {"its moments lie within the film"}


@pytest.mark.parametrize("span_s", [None, (0, 9), (9, 30)])
def test_a_memory_that_misses_part_of_the_film_is_seen(span_s: tuple[int, int] | None) -> None:
    start, end = (None, None) if span_s is None else (wall(span_s[0] * SECOND), wall(span_s[1] * SECOND))
    coverage = {"start": start, "end": end}
    assert failures(changed(good_asked(), coverage=coverage)) == {"memory covers the film"}


def test_missing_events_and_unheard_speech_are_seen() -> None:
    events = good_events(SCRIPT)
    assert failures(good_asked(), events[:1]) == {"events are listed"}
    assert "speech is heard" in failures(good_asked(), [{**event, "speech": []} for event in events])
    assert failures(good_asked(), [{**event, "id": f"x{event['id']}"} for event in events]) == {"events are listed"}


def test_timings_that_contradict_each_other_are_seen() -> None:
    timing = {"queue_ms": 0.1, "recall_ms": 2.0, "prefill_ms": 80.0, "ttft_ms": 900.0, "total_ms": 200.0}
    assert failures(changed(good_asked(), timing=timing)) == {"every answer says what it took"}


@pytest.mark.parametrize("seed", range(40))
def test_every_seed_has_its_three_questions(seed: int) -> None:
    script = World(seed).script()
    chosen = choose_questions(script)
    assert [question.about for question in chosen] == ["now", "past", "never"]
    assert chosen == choose_questions(script)
    assert chosen[1].truth_end_us < script.duration_us - 5 * SECOND


def test_all_that_matters_is_shown() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    asked = good_asked()
    demo_view.show_film(console, SCRIPT, "demo-3-abcdef", (640, 480), 10)
    for number, one in enumerate(asked, 1):
        demo_view.show_answer(console, number, one)
    demo_view.show_checks(console, check_all(SCRIPT, asked, good_events(SCRIPT), Clock(ZERO)))
    shown = out.getvalue()
    for one in asked:
        assert one.question.text in shown
        assert one.question.answer in shown
    assert "shows the true moment" in shown
    assert "first token 90 ms" in shown


def test_a_picture_is_shown_in_half_blocks() -> None:
    lines = demo_view.thumbnail(picture()).plain.strip("\n").split("\n")
    assert {len(line) for line in lines} == {24}
    assert len(lines) == 9


def test_without_a_server_the_demo_fails_and_says_so() -> None:
    out = io.StringIO()
    assert run_demo(1, url="http://127.0.0.1:9", console=Console(file=out, width=200)) == 1
    assert "error[unreachable]" in out.getvalue()
