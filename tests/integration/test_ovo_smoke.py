"""More than 200 queries of the synthetic OVO-Bench through a real server, answered from the pixels that it shows."""

from pathlib import Path

import pytest

from evaluation.ovo.scored import score_folder
from evaluation.ovo.synthetic.files import make_set
from evaluation.ovo.through import judged, oracle_served, part_of, put

FILMS = 5


def quiet(_: str) -> None:
    """Nobody watches."""


@pytest.mark.timeout(900)
def test_the_oracle_answers_from_the_right_moments(tmp_path: Path) -> None:
    whole = make_set(tmp_path / "set", seed=11, pairs=3)
    made = part_of(whole, lambda query: whole.films[query.video] < FILMS)
    with oracle_served() as (oracle, server):
        answered = put(made, oracle, server, tmp_path / "out", "onepass", quiet, fps=1.0)
    assert len(answered) == len(made.annotations.queries) >= 200
    failed = [f"{check.id} {check.value}: {check.note}" for check in judged(made, answered, full=False) if not check.ok]
    assert failed == []
    shown = [one for one in answered if one.heard is not None]
    assert all(one.heard.unreadable == 0 for one in shown if one.heard is not None)
    films = {(one.query.video, state.film) for one in shown if one.heard is not None for state in one.heard.seen}
    assert films == {(name, number) for name, number in whole.films.items() if number < FILMS}
    scores = score_folder(tmp_path / "out", made.annotations).scores
    assert (scores.nulls, scores.missing, scores.duplicates) == (0, 0, 0)
    assert scores.groups["realtime"] == 100.0
