"""Which family a model is of. Adding one is a file beside this one and a line here."""

from importlib import import_module
from typing import Any, Final

from reasoning.families.common import Family

MODULES: Final = {
    "idefics2": "reasoning.families.idefics2",
    "idefics3": "reasoning.families.idefics3",
    "smolvlm": "reasoning.families.idefics3",
}
"""By model type. The others are told by what they can do."""


def family_of(model: Any, tokenizer: Any) -> Family:
    """How this model takes frames. Raises StartRefused."""
    rotated = hasattr(getattr(model, "model", None), "get_rope_index")
    usual = "reasoning.families.mrope" if rotated else "reasoning.families.common"
    module = import_module(MODULES.get(model.config.model_type, usual))
    family: Family = module.FAMILY(model, tokenizer)
    return family
