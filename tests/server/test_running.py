"""What a run of the server makes of its configuration."""

from types import SimpleNamespace
from typing import Any

import pytest

from server import running
from server.config import load_config
from server.keys import Keys
from server.running import Running


def test_a_load_may_take_as_long_as_the_configuration_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    config = load_config({"data": str(tmp_path), "limits": {"load_s": 42.0}}, {}, None)
    given: dict[str, Any] = {}
    monkeypatch.setattr(running, "stage_configs", lambda *_: {})
    monkeypatch.setattr(running, "StageHost", lambda *_, **more: given.update(more))
    ground: Any = SimpleNamespace(config=config, models=None, keys=Keys(None, None), env_key=None)
    Running(ground)._host()
    assert given["limits"].ready_s == 42.0
