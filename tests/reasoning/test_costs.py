"""Moving averages of what work takes, and how long answers are to be expected."""

import pytest

from reasoning.costs import Average, CostMeter, expected_tokens, words_of
from reasoning.messages import Costs


def averaged(*measured: float) -> float:
    average = Average()
    for one in measured:
        average.note(one)
    return average.value


def costs_of(meter: CostMeter) -> Costs:
    costs = meter.costs()
    assert costs is not None
    return costs


def test_the_first_measurements_weigh_alike_and_later_ones_a_tenth() -> None:
    assert averaged(1.0) == 1.0
    assert averaged(1.0, 3.0, 5.0) == pytest.approx(3.0)
    assert averaged(*[1.0] * 20, 2.0) == pytest.approx(1.1)


def test_one_outlier_does_not_spoil_an_average_and_a_lasting_change_is_followed() -> None:
    assert averaged(*[1.0] * 20, 1000.0) == pytest.approx(1.3)
    assert averaged(*[1.0] * 20, *[10.0] * 60) == pytest.approx(10.0, rel=0.05)


def test_nothing_is_known_before_a_token_was_decoded() -> None:
    meter = CostMeter(4)
    meter.note_read(100, 1.0)
    meter.note_prompt(100, "Who?")
    assert meter.costs() is None


def test_what_was_measured_is_summed_up() -> None:
    meter = CostMeter(4)
    meter.note_read(100, 1.0)
    meter.note_encoded(0.5)
    meter.note_encoded(0.0)
    meter.note_prompt(110, "x" * 40)
    meter.note_step(1, 0.02)
    meter.note_step(3, 0.04)
    costs = costs_of(meter)
    assert (costs.read_s, costs.encode_s, costs.tokens, costs.elsewhere_s) == (0.01, 0.25, 100.0, 0.0)
    assert costs.step_s == [0.02, 0.02, 0.04, 0.04]


def test_a_step_smaller_than_any_measured_is_taken_to_cost_the_same() -> None:
    meter = CostMeter(4)
    meter.note_step(3, 0.04)
    assert costs_of(meter).step_s == [0.04] * 4
    meter.note_step(9, 0.08)
    assert costs_of(meter).step_s == [0.04, 0.04, 0.04, 0.08]


def test_a_prompt_whose_length_is_not_known_says_nothing() -> None:
    meter = CostMeter(1)
    meter.note_step(1, 0.01)
    meter.note_prompt(0, "Who?")
    meter.note_prompt(1, "a question that is longer than that")
    assert costs_of(meter).tokens == 0.0


def test_words_count_by_their_bytes() -> None:
    assert words_of("Wer läuft?") == 11 / 4


@pytest.mark.parametrize(
    ("rate", "most", "expected"), [(0.0, 256, 256), (1.0, 256, 1), (0.5, 1, 1), (0.5, 100, 2), (0.01, 4096, 100)]
)
def test_an_answer_lasts_until_it_ends_or_is_full(rate: float, most: int, expected: float) -> None:
    assert expected_tokens(rate, most) == pytest.approx(expected)


def test_how_long_answers_are_is_learned_from_those_that_ended_by_themselves() -> None:
    short, endless = CostMeter(1), CostMeter(1)
    for meter, ended in ((short, True), (endless, False)):
        meter.note_step(1, 0.01)
        assert expected_tokens(costs_of(meter).end_rate, 4096) == pytest.approx(64)
        for _ in range(200):
            meter.note_answer(8, ended)
    assert expected_tokens(costs_of(short).end_rate, 4096) == pytest.approx(8, rel=0.2)
    # Cut off at 8 each time: nothing says that they would end soon.
    assert expected_tokens(costs_of(endless).end_rate, 256) > 220
