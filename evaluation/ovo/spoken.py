"""What was said when, against the moments at which it was to be said: the paper's score that falls with time, F1 within
two seconds, delays, false alarms, repetitions, and the area under the curve of what stands said (PAUC).

With a true moment m and what is right said at m': sum of w * 2 ** (-p * (m' - m)) over the sum of w, where w is 1, for
the i-th count e ** (0.2 i), and p is 0.05 for counts, 0.5 otherwise; in percent.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evaluation.ovo.journal import Key
from evaluation.ovo.tasks import GROUPS
from evaluation.ovo.watching import DECAY, Moment, Watch, says_yes

TOLERANCE_S: Final = 2.0
_SILENCE: Final = 0.5
"""What silence is worth in PAUC, where what is right counts 2 and what is wrong 0."""
_MOVED: Final = 0.5
"""By so much of its delay what is said is moved forward in PAUC."""
_PERIOD_S: Final = 5.0
_AFTER_S: Final = 6.0


@dataclass(frozen=True)
class Said:
    """Something that was said, and when."""

    at_s: float
    text: str


@dataclass(frozen=True)
class Spoken:
    """Of one task. In percent: decayed, f1, false (of what was said, what was not so then), repeated (said again while
    it was still so), pauc. delay_s: mean, of what was right. content: of the answers that were given, right ones.

    None: there is nothing to say it of.
    """

    moments: int
    said: int
    decayed: float | None
    f1: float | None
    delay_s: float | None
    false: float | None
    repeated: float | None
    pauc: float | None
    content: float | None = None


Speaking = Sequence[tuple[Watch, Sequence[Said]]]


def said_in(watch: Watch, entries: Mapping[Key, Mapping[str, Any]]) -> list[Said]:
    """What a watcher says for the model: each time that a yes follows a no, each time that the count is another."""
    said: list[Said] = []
    before = "0" if watch.task == "REC" else "No"
    for at_s, key in sorted(watch.keys.items()):
        entry = entries.get(key)
        if entry is None or entry.get("response") is None or entry.get("skipped"):
            continue
        now = _told(watch.task, entry)
        if now not in {before, "", "No"}:
            said.append(Said(at_s + entry.get("round_trip_ms", 0.0) / 1000, now))
        before = now or before
    return said[:1] if watch.once else said


def _told(task: str, entry: Mapping[str, Any]) -> str:
    """Yes, No, or a number; nothing for no answer."""
    if task != "REC":
        return "Yes" if says_yes(task, entry) else "No"
    return "".join(re.findall(r"\d+", entry.get("response") or ""))


def measure(speaking: Speaking) -> dict[str, Spoken]:
    """By task."""
    return {task: _task(task, [(w, said) for w, said in speaking if w.task == task]) for task in GROUPS["forward"]}


def contents(watches: Sequence[Watch], entries: Mapping[Key, Mapping[str, Any]]) -> float | None:
    """Of the answers that were given behind a yes, the share that holds the true one's words; None where none was."""
    right = []
    for watch in watches:
        for key in (watch.contents or {}).values():
            entry = entries.get(key)
            if entry is not None and entry.get("response") is not None and not entry.get("skipped"):
                right.append(_words(watch.answer) in _words(entry["response"]))
    return _percent(sum(right), len(right))


def _words(text: str) -> str:
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def _task(task: str, speaking: Speaking) -> Spoken:
    moments = [(one, said) for watch, said in speaking for one in watch.moments]
    delays = [(one.weight, _delay(one, said)) for one, said in moments]
    whole = sum(weight for weight, _ in delays)
    decayed = sum(weight * 2 ** (-DECAY[task] * delay) for weight, delay in delays if delay is not None)
    kinds = [kind for watch, said in speaking for kind in _kinds(watch, said)]
    near = sum(_near(watch, said) for watch, said in speaking)
    right = [delay for _, delay in delays if delay is not None]
    return Spoken(
        moments=len(moments),
        said=len(kinds),
        decayed=_percent(decayed, whole),
        f1=_percent(2 * near, len(kinds) + len(moments)),
        delay_s=sum(right) / len(right) if right else None,
        false=_percent(kinds.count("false"), len(kinds)),
        repeated=_percent(kinds.count("repeated"), len(kinds)),
        pauc=_percent(sum(_pauc(one, said) for one, said in moments), len(moments)),
    )


def _delay(moment: Moment, said: Sequence[Said]) -> float | None:
    """Until the right thing was said, while it was so."""
    return next((one.at_s - moment.since_s for one in said if _fits(moment, one)), None)


def _fits(moment: Moment, one: Said) -> bool:
    return one.text == moment.said and moment.since_s <= one.at_s < moment.until_s


def _kinds(watch: Watch, said: Sequence[Said]) -> Iterator[str]:
    """Of everything that was said: right, repeated or false."""
    heard: set[Moment] = set()
    for one in said:
        moment = next((moment for moment in watch.moments if _fits(moment, one)), None)
        if moment is None:
            yield "false"
        else:
            yield "repeated" if moment in heard else "right"
            heard.add(moment)


def _near(watch: Watch, said: Sequence[Said]) -> int:
    """Moments about which the right thing was said within the tolerance, each with something of its own."""
    left = list(said)
    found = 0
    for moment in watch.moments:
        fits = [one for one in left if one.text == moment.said and abs(one.at_s - moment.since_s) <= TOLERANCE_S]
        if fits:
            left.remove(min(fits, key=lambda one: abs(one.at_s - moment.since_s)))
            found += 1
    return found


def _pauc(moment: Moment, said: Sequence[Said]) -> float:
    """Area under what stands said while it is so, of 1; silence counts a quarter."""
    length = moment.until_s - moment.since_s
    if length <= 0:
        return 0.0
    area, at_s, worth = 0.0, moment.since_s, _SILENCE
    for one in said:
        if moment.since_s <= one.at_s < moment.until_s:
            moved_s = moment.since_s + (1 - _MOVED) * (one.at_s - moment.since_s)
            area, at_s, worth = area + (moved_s - at_s) * worth, moved_s, 2.0 * (one.text == moment.said)
    return (area + (moment.until_s - at_s) * worth) / (2 * length)


def _percent(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None


# ---------------------------------------------------------------- who speaks without looking


def _always(ticks: Sequence[float]) -> Sequence[float]:
    return ticks


def _never(_: Sequence[float]) -> Sequence[float]:
    return ()


def _now_and_then(ticks: Sequence[float]) -> Sequence[float]:
    return [at_s for n, at_s in enumerate(ticks) if n % max(1, round(_PERIOD_S / _step(ticks))) == 0]


def _once_later(ticks: Sequence[float]) -> Sequence[float]:
    return [at_s for at_s in ticks if at_s >= ticks[0] - _step(ticks) + _AFTER_S][:1]


def _step(ticks: Sequence[float]) -> float:
    return ticks[1] - ticks[0] if len(ticks) > 1 else 1.0


BLIND: Final[Mapping[str, Callable[[Sequence[float]], Sequence[float]]]] = {
    "always": _always,
    f"every {_PERIOD_S:.0f} s": _now_and_then,
    f"{_AFTER_S:.0f} s after the question": _once_later,
    "never": _never,
}


def blind(watches: Sequence[Watch]) -> dict[str, dict[str, Spoken]]:
    """What those reach who say yes, or count up, at times of their own."""
    return {name: measure([(watch, _blindly(watch, policy)) for watch in watches]) for name, policy in BLIND.items()}


def _blindly(watch: Watch, policy: Callable[[Sequence[float]], Sequence[float]]) -> list[Said]:
    times = policy(sorted(watch.keys)) if watch.keys else ()
    said = [Said(at_s, str(n) if watch.task == "REC" else "Yes") for n, at_s in enumerate(times, start=1)]
    return said[:1] if watch.once else said
