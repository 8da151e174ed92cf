"""How `omnilive explain` tells why."""

from clients.cli.explain_view import COLUMNS, rows, summary

PICKED = {
    "stream": "cam", "event": "e_1", "n": 2, "media_us": 3_723_400_000, "score": 0.9134, "likeness": 0.52,
    "salience": 0.4, "words": None, "parts": {"vector": 1.0, "words": 0.0, "order": 2.0, "recency": 0.12},
    "picked": True,
}  # fmt: skip
LEFT = {"stream": "cam", "event": "e_2", "score": 0.1, "likeness": None, "words": 3.5, "parts": {}, "picked": False}
PAST = {"past": True, "reasons": ["past tense: was", "time words: last"]}
RANGE = {"since": "2026-03-04T10:00:00.000000Z", "until": "2026-03-04T10:05:30.500000Z"}


def test_what_was_understood_is_told() -> None:
    assert summary({"range": RANGE, "gate": PAST, "candidates": [PICKED, LEFT]}) == [
        "asked about 10:00:00 - 10:05:30",
        "looked into the past (past tense: was, time words: last)",
        "found 2 candidates, picked 1 of them (*)",
    ]


def test_a_question_about_now_has_no_candidates() -> None:
    body = {"range": {"since": None, "until": None}, "gate": {"past": False, "reasons": []}, "candidates": []}
    assert summary(body) == ["asked about all that is remembered", "looked at what is in view"]


def test_each_candidate_tells_what_spoke_for_it() -> None:
    one, other = rows([PICKED, LEFT])
    assert len(one) == len(other) == len(COLUMNS)
    assert one == ["*", "cam", "e_1/2", "1:02:03.4", "0.913", "0.520", "0.400", "-",
                   "order 2.00 + vector 1.00 + recency 0.12"]  # fmt: skip
    assert other == ["", "cam", "e_2/0", "-", "0.100", "-", "-", "3.500", ""]
