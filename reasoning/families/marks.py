"""How a frame is written in a prompt: learnt at the start from what the checkpoint's own processor does."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import transformers
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from perception.checkpoint import refusing
from perception.config import ModelConfig
from perception.errors import StartRefused
from perception.pictures import PictureMaker

_GREYS: Final = [np.full((*shape, 3), 90, np.uint8) for shape in ((64, 64), (360, 640), (640, 360))]


@dataclass(frozen=True)
class Marks:
    """A chat template writes `placeholder` for a frame; a prompt has `before`, a run of image tokens, `after` there.

    kinds: the ids that the processor tells a model to be of pictures; empty where it tells nothing.
    """

    placeholder: str
    before: str = ""
    after: str = ""
    kinds: tuple[int, ...] = ()

    def around(self, token: str) -> str:
        """What takes the place of the placeholder, the run shown as one image token."""
        return f"{self.before}{token}{self.after}"


def learnt_marks(config: ModelConfig, model: Any, tokenizer: Any, image_token: str, pictures: PictureMaker) -> Marks:
    """What the checkpoint's processor makes of pictures.

    Raises StartRefused where it cannot be asked, or where a frame is more than one run of image tokens.
    """
    with refusing("the model's processor does not say how a picture is written"):
        processor = processor_of(Path(config.folder), model, tokenizer, pictures.processor)
        placeholder = str(processor.image_token)
        written = [str(processor.replace_image_token(pictures.prepare([grey]), image_idx=0)) for grey in _GREYS]
        kinds = tuple(processor.image_token_ids) if processor.return_mm_token_type_ids else ()
    runs = [re.fullmatch(rf"(.*?)(?:{re.escape(image_token)})+(.*)", text, re.DOTALL) for text in written]
    around = {run.groups() if run is not None else () for run in runs}
    if len(around) != 1 or any(run is None or image_token in run[2] for run in runs):
        raise StartRefused("model_shape_mismatch", "the model takes a picture as other than one run of tokens")
    [(before, after)] = around
    return Marks(placeholder, before, after, kinds)


def processor_of(folder: Path, model: Any, tokenizer: Any, images: Any) -> Any:
    """The checkpoint's processor, without the parts for videos and sound: they need packages that nothing else does."""
    files = [folder / name for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")]
    settings, *others = [json.loads(file.read_bytes()) if file.is_file() else {} for file in files]
    name = next((found["processor_class"] for found in (settings, *others) if found.get("processor_class")), None)
    kind: Any = getattr(transformers, name) if name else PROCESSOR_MAPPING[type(model.config)]

    class Cut(kind):  # type: ignore[misc]
        """The same that does not mind what is missing."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return type(argument)

    Cut.__name__ = kind.__name__
    parts = {"image_processor": images, "tokenizer": tokenizer}
    return Cut.from_args_and_dict([parts.get(part) for part in Cut.get_attributes()], settings)
