"""Makes the stand-in checkpoints in a process that ends with the server: `python -m server.standin FOLDER`."""

import os
import signal
import sys
from types import FrameType

from server.ipc.links import PARENT_VARIABLE
from server.ipc.runtime import prepare_process


def main() -> int:
    """Make them in the folder that the command line names."""
    prepare_process(int(os.environ[PARENT_VARIABLE]))
    # An exception, so that what is half made goes too.
    signal.signal(signal.SIGTERM, _end)
    from reasoning.standin import main as make

    return make()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
