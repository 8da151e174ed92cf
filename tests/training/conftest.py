"""One untrained model for all tests that need its tokenizer or its layers."""

from pathlib import Path

import pytest

from training.blank import make_blank_model


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model."""
    return make_blank_model(tmp_path_factory.mktemp("blank") / "model")
