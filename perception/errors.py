"""Refusals at start, typed: a stage raises them while it loads, the server turns them into its exit line."""


class StartRefused(Exception):
    """A stage cannot start with what it was given. code: of the public interface; message: what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
