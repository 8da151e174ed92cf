"""`omnilive eval ovo make`: write a synthetic set and print the proof that it is worth asking about."""

import secrets
import sys
from pathlib import Path

from rich.console import Console

from evaluation.ovo.synthetic.files import make_set
from evaluation.ovo.synthetic.proof import keep_proof, proof_table, prove


def run_make(folder: Path, seed: int | None, pairs: int, fillers: int) -> int:
    """Exit code 1 if an obligation is broken. seed None: one is drawn, so that nobody can have tuned on it."""
    seed = secrets.randbelow(2**32) if seed is None else seed
    made = make_set(folder, seed, pairs, lambda pair: fillers * (pair % 2), _tell)
    proof = prove(made)
    keep_proof(folder, proof)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(proof_table(proof))
    for line in proof.broken:
        console.print(f"broken: {line}", highlight=False)
    print(f"seed {seed}: {len(made.annotations.queries)} queries, {len(made.films)} films")
    return 1 if proof.broken else 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
