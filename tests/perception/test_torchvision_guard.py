"""torchvision: broken ones do no harm, and a model that needs one says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoImageProcessor

from perception.checkpoint import load_image_processor
from perception.config import ModelConfig
from perception.errors import StartRefused

ROOT = Path(__file__).resolve().parents[2]
BROKEN = 'import torchvision.ops\nraise RuntimeError("operator torchvision::nms does not exist")\n'
USE = """
import sys
from server.worker import _build
try:
    _build("nothing", None, None, None)
except ModuleNotFoundError as error:
    assert error.name == "server.stages.nothing", error
from transformers import AutoImageProcessor, Qwen3VLForConditionalGeneration
from transformers.utils import is_torchvision_available
sys.exit(int(is_torchvision_available()))
"""


def test_one_that_does_not_fit_torch_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    package, about = tmp_path / "torchvision", tmp_path / "torchvision-0.28.0.dist-info"
    for folder in (package, about):
        folder.mkdir()
    (package / "__init__.py").write_text(BROKEN)
    (package / "ops.py").write_text("")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", USE], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_model_that_needs_one_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("SomeImageProcessor requires the Torchvision library but it was not found")

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", missing)
    with pytest.raises(StartRefused, match="needs torchvision") as refused:
        load_image_processor(ModelConfig(str(tmp_path)), "the model")
    assert refused.value.code == "model_not_found"
