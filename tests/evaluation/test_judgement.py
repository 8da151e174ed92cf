"""What the benchmarks judge by: each rule lets the good pass and catches the bad."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from evaluation.baselines.bare_generate import Generated
from evaluation.checks import Check
from evaluation.joined import Shot
from evaluation.micro.equal import compare
from evaluation.micro.equal_families import NEAR, among_others, judge
from evaluation.micro.equal_server import same_text
from evaluation.registry import Owed
from evaluation.report import complete
from evaluation.server_process import Usage
from evaluation.shots import other_frame
from evaluation.soak import fds_check, slope_check, thinned, went_wrong
from evaluation.stall import samples_due, uncovered_samples
from reasoning.engine import Request
from reasoning.prompt import Prompt

S = 1_000_000


class Frames:
    """As much of a reference as `other_frame` looks at."""

    pts_us = range(0, 4 * S, 40_000)


def usages(mib_a_minute: float, fds: int = 0, minutes: int = 5) -> list[Usage]:
    """A sample each 2 s of a server that grows so much."""
    samples = range(0, minutes * 60, 2)
    return [Usage(at, {"server": 100 + mib_a_minute * at / 60}, 50 + (fds if at > 150 else 0), 0.0) for at in samples]


def decode(tokens: list[int]) -> str:
    return "".join(chr(token) for token in tokens)


def test_growth_is_measured_and_held_against_its_bar() -> None:
    assert slope_check(usages(0.1), full=True, note="").ok
    grown = slope_check(usages(2.0), full=True, note="")
    assert not grown.ok
    assert round(grown.value or 0, 2) == 2.0
    assert not slope_check(usages(2.0), full=False, note="").ok
    assert thinned([]) == []


def test_descriptors_that_stay_open_are_seen() -> None:
    assert fds_check(usages(0)).value == 0
    assert not fds_check(usages(0, fds=6)).ok


def test_a_soak_in_which_something_failed_says_nothing() -> None:
    assert went_wrong(96, 0, 0, 8) is None
    assert went_wrong(95, 1, 0, 8) == "1 questions were refused"
    assert went_wrong(96, 0, 1, 8) == "1 processes were started again"
    assert went_wrong(60, 0, 0, 8) == "only 60 answers where 96 were due"


def test_samples_are_due_on_the_grid_of_media_time() -> None:
    assert list(samples_due(0, S)) == [S // 2, S]
    assert list(samples_due(S // 2, S - 1)) == []
    assert list(samples_due(S - 1, S)) == [S]


def test_a_lost_sample_leaves_a_hole_between_events() -> None:
    late = 60_000
    whole = [(0 + late, 4 * S + late), (4 * S + S // 2 + late, 9 * S + late)]
    assert uncovered_samples(whole, S, 9 * S) == 0
    assert uncovered_samples([whole[0], (5 * S + late, 9 * S + late)], S, 9 * S) == 1
    assert uncovered_samples(whole[:1], S, 6 * S) == 4
    assert uncovered_samples([], 0, 4 * S) == 8


def test_the_searched_frame_is_far_from_the_stored_ones() -> None:
    known: object = Frames()
    shot = Shot("a/0", 0, 2 * S)
    assert other_frame(shot, known, [0]) == 1_760_000  # type: ignore[arg-type]
    assert other_frame(shot, known, list(Frames.pts_us)) is None  # type: ignore[arg-type]


def test_tokens_may_part_only_where_the_baseline_is_undecided() -> None:
    sure, torn = Generated([1, 2, 3], [1.0, 1.0, 1.0]), Generated([1, 2, 3], [1.0, 1e-5, 1.0])
    assert compare([1, 2, 3], sure).equal
    assert not compare([1, 9, 3], sure).equal
    assert not compare([1, 2], sure).equal
    assert not compare([1, 2, 3, 4], sure).equal
    assert compare([1, 9, 7], torn).equal
    assert not compare([9, 2, 3], torn).equal


def test_text_may_part_only_where_the_baseline_is_undecided() -> None:
    tokens = [ord(letter) for letter in "abc"]
    assert same_text(decode, "abc", Generated(tokens, [1.0, 1.0, 1.0]))
    assert not same_text(decode, "abd", Generated(tokens, [1.0, 1.0, 1.0]))
    assert same_text(decode, "abd", Generated(tokens, [1.0, 1.0, 1e-5]))
    assert not same_text(decode, "xbd", Generated(tokens, [1.0, 1.0, 1e-5]))


def test_a_figure_held_against_another_bar_is_a_failure() -> None:
    owed = [Owed("x.a", "s", "<= 1")]
    [kept] = complete([Check("x.a", 0.5, "s", "<= 1")], owed, "missing")
    assert kept.ok
    [bent] = complete([Check("x.a", 1.5, "s", "<= 2")], owed, "missing")
    assert (bent.ok, bent.value, bent.bar) == (False, None, "<= 1")


def scores(*values: float) -> torch.Tensor:
    return torch.tensor(values)


BARE = Generated([1, 0], [1.0, 0.0005], [scores(0.0, 1.0), scores(1.0, 0.9995)])


def test_an_answer_whose_scores_lie_apart_has_failed_though_its_tokens_are_equal() -> None:
    same = judge([(1, scores(0.0, 1.0)), (0, scores(1.0, 0.9995))], BARE, least=2)
    assert (same.equal, same.steps, same.apart, same.undecided) == (True, 2, 0.0, False)
    apart = judge([(1, scores(0.0, 1.0 + 3 * NEAR)), (0, scores(1.0, 0.9995))], BARE, least=2)
    assert (apart.equal, apart.steps) == (False, 0)
    assert not judge([(1, scores(0.0, float("nan")))], BARE, least=1).equal


def test_a_token_counts_where_the_baseline_was_of_one_mind() -> None:
    assert not judge([(0, scores(0.0, 1.0))], BARE, least=1).equal
    parted = judge([(1, scores(0.0, 1.0)), (1, scores(1.0, 0.9995))], BARE, least=2)
    assert (parted.equal, parted.undecided) == (True, True)


def test_an_answer_may_be_short_only_where_it_was_cut() -> None:
    assert judge([(1, scores(0.0, 1.0))], BARE, least=1).equal
    assert not judge([(1, scores(0.0, 1.0))], BARE, least=2).equal


def test_answers_that_never_ran_together_are_no_measurement() -> None:
    class OneByOne:
        """Answers whole, before the next is looked at."""

        def __init__(self) -> None:
            self.open: list[Request] = []
            self.on_token: Callable[[str, int, torch.Tensor], None] = lambda *_: None

        def begin(self, request: Request) -> None:
            self.open.append(request)

        def step(self) -> list[Any]:
            one = self.open.pop(0)
            for _ in range(one.max_tokens):
                self.on_token(one.id, 0, scores(1.0))
            return []

        def cancel(self, name: str) -> None:
            self.open = [one for one in self.open if one.id != name]

        def has_work(self) -> bool:
            return bool(self.open)

    engine: Any = OneByOne()
    with pytest.raises(RuntimeError, match="together"):
        among_others(engine, [Prompt("", [], [], [], [], [], "?")] * 6)
