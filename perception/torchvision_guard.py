"""A torchvision that does not fit the installed torch breaks every model of transformers: then it is kept out of sight.

The usual case is a CPU build of torch beside the torchvision that package indexes give by default, which is built for
CUDA. Nothing here needs torchvision: pictures are prepared in their Pillow form.
"""

import importlib
import importlib.util
import logging
import sys

log = logging.getLogger(__name__)


def hide_broken_torchvision() -> bool:
    """Whether there was one to hide. To be called before transformers is imported."""
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        # To every later import, and to whoever asks whether there is one, it is not installed.
        sys.modules["torchvision"] = None  # type: ignore[assignment]
        log.warning("torchvision does not fit this build of torch and is not used: uninstall it, nothing here needs it")
        return True
    return False
