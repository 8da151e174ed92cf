"""How often is the demo wholly right? One server, many films: each pushed, asked about, and held against its truth."""

import io
from typing import Final

from rich.console import Console

from clients.demo import run_demo
from evaluation.checks import Check, share_check
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess

_QUICK: Final = 20
_FULL: Final = 100


def run(full: bool, progress: Progress) -> list[Check]:
    """Seeds 1 to 20 in the quick profile, 1 to 100 in the full one."""
    seeds = range(1, (_FULL if full else _QUICK) + 1)
    wrong: list[int] = []
    with ServerProcess() as server:
        for seed in seeds:
            if run_demo(seed, url=server.url, console=Console(file=io.StringIO())) != 0:
                wrong.append(seed)
            progress(f"{seed} of {len(seeds)} seeds, {len(wrong)} not wholly right")
    right = len(seeds) - len(wrong)
    note = f"{right} of {len(seeds)} seeds; not wholly right: {', '.join(map(str, wrong)) or 'none'}"
    return [share_check("model.demo", right, len(seeds), ">= 0.85", full=full, note=note)]
