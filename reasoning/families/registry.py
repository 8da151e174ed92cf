"""Model type to family module, imported on use. A new family is one file and one line here."""

import importlib
from typing import cast

from perception.errors import StartRefused
from reasoning.families.base import Family

_MODULES = {
    "idefics3": "idefics3",
    "smolvlm": "idefics3",
    "qwen3_vl": "qwen3_vl",
}


def family_of(model_type: str) -> Family:
    """The family of a checkpoint's model type. Raises StartRefused."""
    if model_type not in _MODULES:
        known = ", ".join(sorted(_MODULES))
        raise StartRefused("model_not_found", f"models of type {model_type} are not supported; give one of: {known}")
    module = importlib.import_module(f"reasoning.families.{_MODULES[model_type]}")
    return cast(Family, module.FAMILY)
