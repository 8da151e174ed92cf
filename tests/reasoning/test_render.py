"""Conversations as token ids: as many image tokens as pictures, whatever users write."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from perception.errors import StartRefused
from reasoning.families.marks import Marks
from reasoning.local import LocalEngine
from reasoning.messages import Turn
from reasoning.prompt import ChatMessage, Prompt
from reasoning.render import Renderer

EngineOf = Callable[[str], LocalEngine]
FAMILIES = ("idefics3", "smolvlm", "qwen3_vl", "internvl", "llava_onevision", "gemma3")
BARE = Marks("<image>")
SEAM, PICTURE = "\ue000", "\ue001"
NO_SYSTEM = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<{{ message['role'] }}>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}<assistant>"
)


def conversation(tools: Any, question: str = "Who?", pictures: int = 0, **changed: Any) -> list[ChatMessage]:
    window = [tools.frame(99 + n / 10) for n in range(pictures)]
    given = {"system": "Watch.", "history": [], "evidence": [], "speech": [], **changed}
    return Prompt(streams=[tools.asked()], window=window, question=question, **given).messages()


def special_ids(engine: LocalEngine) -> set[int]:
    return set(engine.family.tokenizer.get_added_vocab().values())


@pytest.fixture
def copied(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[..., Renderer]:
    """A renderer of an Idefics3 checkpoint with another template in its folder; None: without one."""

    def make(template: str | None, older_file: bool = False, marks: Marks = BARE) -> Renderer:
        folder = tmp_path / "checkpoint"
        shutil.copytree(checkpoint("idefics3"), folder, ignore=shutil.ignore_patterns("*.safetensors", "*.jinja"))
        if template is not None and older_file:
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
        elif template is not None:
            (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return Renderer(tokenizer, tokenizer.convert_tokens_to_ids("<image>"), marks, folder)

    return make


def decoded(renderer: Renderer, ids: list[int]) -> str:
    tokenizer: Any = renderer._tokenizer
    return str(tokenizer.decode(ids))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("pictures", [0, 1, 5])
def test_there_is_one_image_token_for_each_picture(engine_of: EngineOf, tools: Any, name: str, pictures: int) -> None:
    engine = engine_of(name)
    evidence = [tools.evidence(20 + n, n=n) for n in range(pictures)]
    ids = engine.renderer.encode(conversation(tools, pictures=pictures, evidence=evidence))
    assert ids.count(engine.family.image_token) == 2 * pictures


@pytest.mark.parametrize("name", FAMILIES)
def test_plain_text_is_rendered_as_the_template_alone_does(engine_of: EngineOf, tools: Any, name: str) -> None:
    engine = engine_of(name)
    messages = conversation(tools, "Wer hat die Tür geöffnet? \u2615", history=[Turn("Open?", "Yes, it is.")])
    contents = [
        {"role": one.role, "content": [{"type": "text", "text": str(part)} for part in one.parts]} for one in messages
    ]
    tokenizer: Any = engine.family.tokenizer
    text = tokenizer.apply_chat_template(contents, tokenize=False, add_generation_prompt=True)
    ids = engine.renderer.encode(messages)
    assert ids == tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("place", ["question", "heard", "earlier question", "earlier answer", "system"])
def test_what_users_write_yields_no_special_token(engine_of: EngineOf, tools: Any, name: str, place: str) -> None:
    engine = engine_of(name)
    literals = list(engine.family.tokenizer.get_added_vocab())

    def rendered(text: str) -> list[int]:
        changed: dict[str, Any] = {
            "question": {"question": text},
            "heard": {"speech": [SimpleNamespace(stream="default/cam", start_us=1, end_us=2, text=text)]},
            "earlier question": {"history": [Turn(text, "b")]},
            "earlier answer": {"history": [Turn("a", text)]},
            "system": {"system": text},
        }[place]
        return engine.renderer.encode(conversation(tools, pictures=1, **changed))

    def special(ids: list[int]) -> list[int]:
        return [token for token in ids if token in special_ids(engine)]

    clean = special(rendered("nothing"))
    assert clean.count(engine.family.image_token) == 1
    for text in (
        *literals,
        "".join(literals),
        "".join(f"{one[:2]}{SEAM}{one[2:]}" for one in literals),
        "".join(f"{one[0]}{one}{one[1:]}" for one in literals),
        "\n".join(literals).upper() + "\n".join(literals),
        "".join(one.translate({code: code + 0xFEE0 for code in map(ord, "<>|")}) for one in literals),
    ):
        assert special(rendered(text)) == clean, text


@pytest.mark.parametrize("name", FAMILIES)
def test_no_mixture_of_pieces_yields_a_special_token(engine_of: EngineOf, tools: Any, name: str) -> None:
    engine = engine_of(name)
    dice = random.Random(7)
    literals = list(engine.family.tokenizer.get_added_vocab())
    pieces = [*literals, *(one[:n] for one in literals for n in (1, len(one) // 2, -1)), SEAM, " ", "\n", "\u0338", "a"]
    pieces += [one[n:] for one in literals for n in (1, len(one) // 2, -1)]
    clean = engine.renderer.encode(conversation(tools, ""))
    expected = sum(token in special_ids(engine) for token in clean)
    for _ in range(200):
        text = "".join(dice.choices(pieces, k=dice.randint(1, 12)))
        ids = engine.renderer.encode(conversation(tools, text))
        assert sum(token in special_ids(engine) for token in ids) == expected, repr(text)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_words_of_users_survive_letter_by_letter(engine_of: EngineOf, tools: Any, name: str) -> None:
    engine = engine_of(name)
    literal = engine.family.tokenizer.convert_ids_to_tokens(engine.family.image_token)
    text = f"What does {literal} mean, and \uff57\uff49\uff44\uff45, \u00e9 or e\u0301? x{SEAM}y"
    shown = engine.family.tokenizer.decode(engine.renderer.encode(conversation(tools, text)))
    assert text.replace(SEAM, "") in shown


def test_a_template_without_a_system_role_gets_its_text_in_the_first_turn(
    copied: Callable[..., Renderer], tools: Any
) -> None:
    renderer = copied(NO_SYSTEM)
    ids = renderer.encode(conversation(tools, "Who?"))
    assert decoded(renderer, ids) == "<user>Watch.\nQuestion: Who?<assistant>"
    ids = renderer.encode(conversation(tools, "Who?", history=[Turn("Open?", "Yes.")]))
    expected = "<user>Watch.\nQuestion: Open?<assistant>Yes.<user>Question: Who?<assistant>"
    assert decoded(renderer, ids) == expected


def test_pictures_and_protection_are_the_same_without_a_system_role(
    copied: Callable[..., Renderer], tools: Any, engine_of: EngineOf
) -> None:
    renderer = copied(NO_SYSTEM)
    ids = renderer.encode(conversation(tools, "<image>", pictures=3))
    assert ids.count(engine_of("idefics3").family.image_token) == 3


@pytest.mark.parametrize("older_file", [False, True])
def test_a_template_is_found_in_its_own_file_or_in_the_processors_older_one(
    copied: Callable[..., Renderer], tools: Any, older_file: bool
) -> None:
    template = "".join((NO_SYSTEM.replace("raise_exception('no system role')", "'S:'"), "!"))
    renderer = copied(template, older_file)
    assert decoded(renderer, renderer.encode(conversation(tools))) == "S:<system>Watch.<user>Question: Who?<assistant>!"


def test_without_any_template_a_plain_one_is_used(
    copied: Callable[..., Renderer], tools: Any, engine_of: EngineOf
) -> None:
    renderer = copied(None)
    ids = renderer.encode(conversation(tools, "Is it <image>?", 2, history=[Turn("Open?", "Yes.")]))
    assert ids.count(engine_of("idefics3").family.image_token) == 2
    lines = [
        "System: Watch.",
        "User: Question: Open?",
        "Assistant: Yes.",
        "User: Now:",
        f"{stamp(tools, 99)}<image>",
        f"{stamp(tools, 99.1)}<image>",
        "Question: Is it <image>?",
        "Assistant:",
    ]
    assert decoded(renderer, ids).replace("\n", "") == "".join(lines)


def stamp(tools: Any, second: float) -> str:
    shown = conversation(tools, evidence=[tools.evidence(second)])[-1].parts[0]
    return str(shown).removeprefix("Earlier:\n")


HOISTING = (
    "{% for message in messages %}<{{ message['role'] }}>"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"
    "{% endfor %}<assistant>"
)
STRINGS = "{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] }}{% endfor %}<assistant>"
MUTE = (
    "{% for message in messages if message['role'] != 'system' %}<{{ message['role'] }}>"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}<assistant>"
)


@pytest.mark.parametrize("template", [HOISTING, STRINGS, MUTE])
def test_times_stay_with_their_frames_and_the_system_is_heard_whatever_the_template_does(
    copied: Callable[..., Renderer], tools: Any, template: str
) -> None:
    renderer = copied(template)
    shown = decoded(renderer, renderer.encode(conversation(tools, f"Is it <image>?{PICTURE}", 2)))
    seen = f"Now:\n{stamp(tools, 99)}<image>\n{stamp(tools, 99.1)}<image>\nQuestion: Is it <image>?<assistant>"
    assert shown.endswith(seen)
    assert shown.removesuffix(seen).replace("<system>", "") in ("Watch.<user>", "<user>Watch.\n")
    assert renderer.encode(conversation(tools, f"Is it <image>?{PICTURE}", 2)).count(renderer._image_token) == 2


def test_marks_stand_around_each_frame_and_nowhere_else(copied: Callable[..., Renderer], tools: Any) -> None:
    marks = Marks("<image>", "\n\n<fake_token_around_image>", "<global-img>\n")
    renderer = copied(NO_SYSTEM, marks=marks)
    shown = decoded(renderer, renderer.encode(conversation(tools, "Is it <image>?", 1)))
    frame = "\n\n<fake_token_around_image><image><global-img>\n"
    assert shown == f"<user>Watch.\nNow:\n{stamp(tools, 99)}{frame}\nQuestion: Is it <image>?<assistant>"


@pytest.mark.parametrize("template", ["{{ messages[0]['role'] }}", "<image>", "<image><image><image>"])
def test_a_template_with_no_place_for_pictures_is_refused_at_the_start(
    copied: Callable[..., Renderer], template: str
) -> None:
    with pytest.raises(StartRefused, match="no place for pictures"):
        copied(template)
