"""`python -m training.train STAGE`: one piece of the embedded models' training; call it again to go on.

see: the vision encoder. match: the dual encoder. tell: the language model. publish: the checkpoints as they ship.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from training import match, see, tell
from training.blank import make_blank_model
from training.device import DEVICES, device_of
from training.publish import publish
from training.run import Run

_RUNS: Final = Path("training/runs/default")
_UNFINISHED: Final = 3


def main() -> int:
    """0 when the stage is over, 3 when another piece is needed."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("stage", choices=("see", "match", "tell", "publish"))
    parser.add_argument("--run", type=Path, default=_RUNS, help="folder of the run (%(default)s)")
    parser.add_argument("--minutes", type=float, default=40, help="length of this piece (%(default)s)")
    parser.add_argument("--steps", type=int, help="so many steps end this piece too (no limit)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU where there is one")
    parser.add_argument("--last", action="store_true", help="tell: the last piece, in which the rate falls")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the films and steps, for a trial (%(default)s)"
    )
    parser.add_argument(
        "--mean-with", type=Path, help="publish: another checkpoint of the same model; the mean of both is published"
    )
    asked = parser.parse_args()
    model, encoder, films = asked.run / "model", asked.run / "encoder", asked.run / "films"
    if asked.stage == "publish":
        publish(model, encoder, asked.mean_with)
        return 0
    try:
        device = device_of(asked.device)
    except ValueError as error:
        parser.error(str(error))
    if not (model / "config.json").is_file():
        make_blank_model(model)
    run = Run(asked.run / asked.stage, asked.minutes, asked.steps)
    if asked.stage == "see":
        over = see.train(model, films, run, device, asked.scale)
    elif asked.stage == "match":
        if not (encoder / "config.json").is_file():
            match.make_blank_encoder(encoder, model)
        over = match.train(model, encoder, films, run, device, asked.scale)
    else:
        over = tell.train(model, films, run, device, asked.scale, last=asked.last)
    return 0 if over else _UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
