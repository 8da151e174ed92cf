"""The table of open questions."""

from typing import Any

import pytest

from reasoning.messages import Ask
from server.answers import Failed
from server.protocol import QuestionRequest


async def test_a_question_that_cannot_be_sent_for_whatever_reason_has_ended(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.add()
    entry = rig.hub.registry.find("default", "cam")
    send = rig.host.send

    def explode(stage: str, message: Any) -> bool:
        if isinstance(message, Ask):
            raise ArithmeticError("a fault of ours")
        return bool(send(stage, message))

    monkeypatch.setattr(rig.host, "send", explode)
    run = rig.hub.questions.admit("default", [entry], QuestionRequest(question="What?"))
    with pytest.raises(ArithmeticError):
        rig.hub.questions.begin(run)
    end = await run.next()
    assert isinstance(end, Failed)
    assert end.error.code == "internal_error"
    assert (len(rig.hub.questions), entry.questions) == (0, 0)
    assert rig.hub.questions.idle.is_set()
