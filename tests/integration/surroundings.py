"""Where tests start processes, and with which environment."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of the project, so that a developer's own do not change what is tested."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNILIVE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}
