"""Questions that lean on earlier ones: which time and which subject they take over, and what is recalled for them."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.followup import lean
from memory.messages import About, Context, Earlier, MemoryOptions, OpenMemory, Recall
from memory.stage import MemoryStage
from memory.timewords import Moment, TimeRange, parse
from perception.messages import Barrier

S = 1_000_000
START = 1_772_618_400 * S
NOW = 3600 * S
MOMENT = Moment(NOW, START, "UTC", (0, NOW))
THAT = About(START + 1000 * S, START + 1010 * S, named=False)
NAMED = msgspec.structs.replace(THAT, named=True)
KEY = "default/cam"


def understood(question: str, *earlier: Earlier) -> TimeRange:
    return lean(parse(question, MOMENT), question, earlier, MOMENT)


def turn(
    question: str = "Where was the red cube?", answer: str = "On the shelf.", about: About | None = THAT
) -> Earlier:
    return Earlier(question, answer, about)


@pytest.mark.parametrize(
    ("question", "since", "until"),
    [
        ("And before that?", None, 1000),
        ("and before then, who was there?", None, 1000),
        ("And before?", None, 1000),
        ("What about just before that?", 940, 1000),
        ("and earlier?", None, 1000),
        ("Who had been there until then?", None, 1000),
        ("What happened after that?", 1010, 3600),
        ("and right after that?", 1010, 1070),
        ("What happened next?", 1010, 3600),
        ("And then?", 1010, 3600),
        ("What has changed since then?", 1000, 3600),
        ("Who was there at that moment?", 1000, 1010),
        ("What did the man do then?", 1000, 1010),
        ("And two minutes before that?", 865, 895),
        ("what was there 40 seconds after that", 1045, 1055),
    ],
)
def test_a_reference_is_placed_by_what_was_talked_of(question: str, since: int | None, until: int) -> None:
    found = understood(question, turn())
    assert found.since_us == (None if since is None else since * S)
    assert found.until_us in (until * S, until * S + 1)
    assert found.past
    assert found.words


@pytest.mark.parametrize(
    "question",
    ["What do you see?", "What was there before that car came?", "Who was here earlier?", "Have you met him before?"],
)
def test_what_is_no_reference_takes_over_no_time(question: str) -> None:
    assert not understood(question, turn()).limited
    assert not understood(question).limited


def test_a_time_of_its_own_wins() -> None:
    found = understood("And before that, at 37 s?", turn())
    assert found.target_us == 37 * S


def test_nothing_is_taken_over_from_an_answer_that_was_about_nothing() -> None:
    assert not understood("And before that?", turn(about=None)).limited


def test_a_time_that_was_named_goes_on_until_another_is() -> None:
    assert understood("And who opened it?", turn(about=NAMED)).since_us == 1000 * S
    assert not understood("And who opened it?", turn()).limited
    assert not understood("And where is it right now?", turn(about=NAMED)).limited
    assert not understood("Where is it?", turn(about=NAMED)).limited
    assert not understood("When did a dog first appear?", turn(about=NAMED)).limited


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("And before that?", "And Where was the red cube?"),
        ("And two minutes ago?", "And Where was the red cube?"),
        ("What colour was the blue car before that?", "What colour was the blue car ?"),
        ("Who moved it?", "Who moved it On the shelf. Where was the red cube?"),
    ],
)
def test_the_subject_is_taken_over_where_the_question_names_none(question: str, text: str) -> None:
    assert understood(question, turn()).rest == text


def test_the_subject_is_found_behind_questions_that_named_none() -> None:
    found = understood("And before that?", turn(), turn("And before that?", "On the table."))
    assert found.rest == "And Where was the red cube?"


VOCABULARY = "and before that then after since it he two minutes just ? who was 10:15 later"
WORDS = st.sampled_from(VOCABULARY.split())
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=8).map(" ".join))


@given(TEXTS, TEXTS, st.integers(-(2**50), 2**50), st.integers(1, 2**40), st.booleans())
def test_no_text_breaks_it(question: str, before: str, since: int, length: int, named: bool) -> None:
    found = understood(question, Earlier(before, before, About(since, since + length, named)))
    if found.since_us is not None and found.until_us is not None:
        assert found.since_us < found.until_us


def test_a_long_question_is_looked_at_quickly() -> None:
    found = understood("and before " * 1500, turn("a" * 16_000, "b" * 16_000))
    assert len(found.rest) < 17_500


# ---------------------------------------------------------------- in memory


@pytest.fixture
def watched(make_stage: Any, tools: Any) -> MemoryStage:
    """Five minutes, each ten seconds another scene."""
    stage: MemoryStage = make_stage()
    tools.drive(stage, OpenMemory(KEY, START, "{}", MemoryOptions(), "UTC"))
    for n in range(30):
        seen = tools.percept(10 * n * S, f"scene{n}", cut_us=10 * n * S if n else None)
        tools.drive(stage, msgspec.structs.replace(seen, stream=KEY))
    tools.drive(stage, Barrier(KEY, 1))
    return stage


def ask(stage: MemoryStage, tools: Any, question: str, *earlier: Earlier) -> Context:
    message = Recall(9, [KEY], question, None, None, [300 * S], 1, earlier)
    found: Context = tools.only(tools.drive(stage, message), Context)
    return found


def test_one_question_after_the_other_goes_back_in_time(watched: MemoryStage, tools: Any) -> None:
    talk: list[Earlier] = []
    seen: list[int] = []
    for question in ("What happened at 200 seconds?", "And before that?", "And before that?", "And after that?"):
        found = ask(watched, tools, question, *talk)
        assert found.needs_past
        talk.append(Earlier(question, "A door.", found.about))
        seen += [kept.media_us // S for kept in found.evidence]
    assert talk[0].about is not None
    assert talk[0].about.named
    assert seen[0] in (190, 200)
    assert seen[1] in (180, 190)
    assert seen[2] == seen[1] - 10
    assert seen[3] == seen[1]


def test_before_the_beginning_there_is_nothing(watched: MemoryStage, tools: Any) -> None:
    first = Earlier("What was there at the start?", "A door.", About(START, START + 9 * S, named=False))
    found = ask(watched, tools, "And before that?", first)
    assert found.evidence == []
    assert [one.coverage.covered for one in found.coverage] == ["none"]


def test_why_is_told(watched: MemoryStage, tools: Any) -> None:
    told = json.loads(ask(watched, tools, "And before that?", turn(about=THAT)).explain)
    assert told["time_words"] == ["before that"]
    assert "time words: before that" in told["gate"]["reasons"]
