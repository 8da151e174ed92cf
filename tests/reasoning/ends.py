"""What comes out of an engine in the end."""

from reasoning.engine import Failed, Finished
from reasoning.local import LocalEngine


def finished(engine: LocalEngine) -> dict[str, tuple[int, ...]]:
    """Tokens of each that ends now."""
    ends = {}
    while engine.has_work():
        for output in engine.step():
            assert not isinstance(output, Failed)
            if isinstance(output, Finished):
                ends[output.id] = output.tokens
    return ends
