"""Starts that come to nothing: bad usage, and a stop before there is a server."""

from collections.abc import Callable

import pytest

Refusal = Callable[..., tuple[str, str, float]]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--port", "abc"), "--port"), (("--prot", "1"), "--prot"), (("--config", "/"), "--config")],
)
def test_bad_usage_of_serve_has_a_code_of_the_interface(
    refusal: Refusal, arguments: tuple[str, str], named: str
) -> None:
    code, message, _ = refusal(*arguments)
    assert code == "config_invalid"
    assert named in message


@pytest.mark.parametrize(
    "variables",
    [
        {"OMNILIVE_MEMORY__MAX_BYTES": "9" * 23},
        {"OMNILIVE_MEMORY__MAX_AGE_S": "1e300"},
        {"OMNILIVE_LIMITS__MESSAGE_BYTES": str(19 * 2**20)},
        {"OMNILIVE_TIME_ZONE": "Mars/Phobos"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_settings_out_of_bounds_are_refused_in_one_line(refusal: Refusal, variables: dict[str, str]) -> None:
    assert refusal(**variables)[0] == "config_invalid"
