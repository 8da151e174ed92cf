"""Refusals at start, typed: a stage raises them while it loads, the server turns them into its exit line."""


def reason(error: Exception) -> str:
    """An error of a library in one short line, for the end of a refusal."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *lines[:1]])[:200]


class StartRefused(Exception):
    """A stage cannot start with what it was given. code: of the public interface; message: what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
