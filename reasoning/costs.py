"""What a question costs on this engine, in seconds: moving averages of what was measured."""

from typing import Final

from reasoning.messages import Costs

_WEIGHT: Final = 0.1
"""Of a new measurement in an average that has had ten or more."""
_OUTLIER: Final = 4.0
"""As how many averages a measurement counts at most: a process that was stopped once is not slow from then on."""
_BYTES: Final = 4
"""Of a question's words, for a token."""
_USUAL_TOKENS: Final = 64
"""How long an answer is taken to be before any has been seen."""
_KEPT: Final = 0.98
"""Of what older answers count, with each new one."""


class Average:
    """A moving average; the first measurements weigh alike."""

    def __init__(self) -> None:
        self._count = 0
        self.value = 0.0

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return self._count > 0

    def note(self, measured: float) -> None:
        """Take a measurement in."""
        if self._count > 2:
            measured = min(measured, _OUTLIER * self.value)
        self._count += 1
        self.value += max(1 / self._count, _WEIGHT) * (measured - self.value)


class CostMeter:
    """An engine tells it what its work took, its stage how long prompts and answers are; `costs` sums it up."""

    def __init__(self, slots: int) -> None:
        self._read, self._tokens, self._encode, self._elsewhere = (Average() for _ in range(4))
        self._steps = [Average() for _ in range(slots)]
        self._ends, self._said = 1.0, float(_USUAL_TOKENS)

    def note_read(self, tokens: int, seconds: float) -> None:
        """So many tokens of a prompt were read."""
        self._read.note(seconds / max(1, tokens))

    def note_encoded(self, seconds: float) -> None:
        """The keyframes of one question were encoded; 0 where all of them were known."""
        self._encode.note(seconds)

    def note_step(self, rows: int, seconds: float) -> None:
        """Each of so many answers got a token."""
        self._steps[min(max(1, rows), len(self._steps)) - 1].note(seconds)

    def note_elsewhere(self, seconds: float) -> None:
        """A model elsewhere, which reads several prompts at once, gave its first token."""
        self._elsewhere.note(seconds)

    def note_prompt(self, tokens: int, question: str) -> None:
        """A question's prompt had so many tokens, its own words included."""
        if tokens > 0:
            self._tokens.note(max(0.0, tokens - words_of(question)))

    def note_answer(self, tokens: int, ended: bool) -> None:
        """An answer had so many tokens. ended: by itself, not since no more were allowed."""
        self._ends = _KEPT * self._ends + ended
        self._said = _KEPT * self._said + tokens

    def costs(self) -> Costs | None:
        """All of it now; None before the first token of all was decoded."""
        if not any(step.known for step in self._steps):
            return None
        return Costs(
            read_s=self._read.value,
            tokens=self._tokens.value,
            encode_s=self._encode.value,
            elsewhere_s=self._elsewhere.value,
            step_s=self._filled_steps(),
            end_rate=min(1.0, self._ends / max(1.0, self._said)),
        )

    def _filled_steps(self) -> list[float]:
        """Until it is measured, a larger step is taken to cost what a smaller one does."""
        last = next(step.value for step in self._steps if step.known)
        filled = []
        for step in self._steps:
            last = step.value if step.known else last
            filled.append(last)
        return filled


def words_of(question: str) -> float:
    """About how many tokens the words of a question are."""
    return len(question.encode()) / _BYTES


def expected_tokens(end_rate: float, most: int) -> float:
    """How long an answer is to be expected that ends at each token with this chance, and at `most` in any case."""
    if end_rate <= 0:
        return float(most)
    return float((1 - (1 - end_rate) ** most) / end_rate)
