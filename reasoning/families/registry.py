"""Model types that need more than the common way. Adding one is a file beside this one and a line here."""

from importlib import import_module
from typing import Any, Final

from reasoning.families.common import Family

MODULES: Final = {
    "idefics3": "reasoning.families.idefics3",
    "smolvlm": "reasoning.families.idefics3",
    "qwen3_vl": "reasoning.families.qwen3_vl",
}


def family_of(model: Any, tokenizer: Any) -> Family:
    """How this model takes frames; the common way for a type that is not listed."""
    module = import_module(MODULES.get(model.config.model_type, "reasoning.families.common"))
    family: Family = module.FAMILY(model, tokenizer)
    return family
