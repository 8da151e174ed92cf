"""Makes the stand-in checkpoints: small random models that take the place of trained ones until those are there.

`python -m reasoning.standin FOLDER` writes FOLDER/model and FOLDER/encoder, both there at once or not at all.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from reasoning.standin_encoder import make_siglip
from reasoning.standin_models import make_idefics3, make_qwen3_vl
from reasoning.standin_speech import make_whisper

__all__ = ["make_idefics3", "make_qwen3_vl", "make_siglip", "make_standins", "make_whisper"]


def make_standins(folder: Path) -> None:
    """Both checkpoints by one rename; a folder that is there already is left as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        make_idefics3(made / "model", "standin")
        make_siglip(made / "encoder")
        made.rename(folder)
    except OSError:
        # Another process may have been faster.
        if not (folder / "encoder" / "config.json").is_file():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> int:
    """Make them in the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m reasoning.standin FOLDER\n")
        return 2
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    make_standins(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
