"""Small random checkpoints, made on the spot: stand-ins until a trained model is there; also for tests and benchmarks.

`python -m reasoning.standin FOLDER` writes FOLDER/model and FOLDER/encoder: ordinary checkpoint folders.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SiglipConfig,
    SiglipModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

SEED: Final = 20
_PAD, _START, _END = "<pad>", "<|im_start|>", "<|im_end|>"
_IDEFICS: Final = ("<image>", "<fake_token_around_image>", "<global-img>")
_QWEN: Final = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CORPUS: Final = (
    "Earlier: Now: Question: 10:15:07 (47 s ago) said: seconds minutes What did you see? Where is the red ball? "
    "I do not know. A blue square moves to the left, then a green circle enters and leaves the room. 0123456789",
)


def make_tokenizer(folder: Path, extra: tuple[str, ...], *, padded: bool = False) -> Any:
    """A byte-level BPE, trained on a few sentences, with a chat template and these special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=[_PAD, _START, _END, *extra],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    fast: Any = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END, bos_token=_START,
        additional_special_tokens=list(extra),
    )  # fmt: skip
    fast.chat_template = _TEMPLATE
    fast.save_pretrained(folder)
    return fast


def make_idefics3(
    folder: Path, *, image: int = 96, patch: int = 12, vision: int = 96, vision_layers: int = 2, hidden: int = 128,
    layers: int = 2, heads: int = 4, vocabulary: int | None = None, shuffle: int = 2, seed: int = SEED,
) -> None:  # fmt: skip
    """A random Idefics3 checkpoint of the given shape."""
    tokenizer = make_tokenizer(folder, _IDEFICS)
    image_token = tokenizer.convert_tokens_to_ids(_IDEFICS[0])
    text = LlamaConfig(
        vocab_size=vocabulary or len(tokenizer), hidden_size=hidden, intermediate_size=hidden * 8 // 3 // 8 * 8,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads, head_dim=hidden // heads,
        max_position_embeddings=8192, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    tower = {
        "hidden_size": vision, "intermediate_size": vision * 4, "num_hidden_layers": vision_layers,
        "num_attention_heads": max(1, vision // 32), "image_size": image, "patch_size": patch,
    }  # fmt: skip
    config = Idefics3Config(
        vision_config=tower, text_config=text.to_dict(), scale_factor=shuffle, image_token_id=image_token,
        tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    _save(Idefics3ForConditionalGeneration, config, folder, tokenizer, seed)
    Idefics3ImageProcessorPil(
        size={"longest_edge": image}, max_image_size={"longest_edge": image}, do_image_splitting=False
    ).save_pretrained(folder)


def make_smolvlm_shape(folder: Path) -> None:
    """A random checkpoint of the shape of SmolVLM-256M: for figures that need its size and not its words."""
    make_idefics3(
        folder, image=512, patch=16, vision=768, vision_layers=12, hidden=576, layers=30, heads=9, vocabulary=49_280,
        shuffle=4,
    )  # fmt: skip


def make_qwen3_vl(folder: Path, *, hidden: int = 64, layers: int = 4, seed: int = SEED) -> None:
    """A random Qwen3-VL checkpoint, with DeepStack and M-RoPE, as small as the class allows."""
    tokenizer = make_tokenizer(folder, _QWEN)
    image, video, start, end = tokenizer.convert_tokens_to_ids(list(_QWEN))
    text = {
        "vocab_size": len(tokenizer), "hidden_size": hidden, "intermediate_size": hidden * 2,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "max_position_embeddings": 8192, "pad_token_id": tokenizer.pad_token_id,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True,
        },
    }  # fmt: skip
    vision = {
        "depth": 3, "hidden_size": 48, "intermediate_size": 96, "num_heads": 4, "patch_size": 16,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": hidden,
        "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, image_token_id=image, video_token_id=video,
        vision_start_token_id=start, vision_end_token_id=end, tie_word_embeddings=True,
    )  # fmt: skip
    _save(Qwen3VLForConditionalGeneration, config, folder, tokenizer, seed)
    Qwen2VLImageProcessorPil(
        patch_size=16, temporal_patch_size=2, merge_size=2,
        size={"shortest_edge": 32 * 32, "longest_edge": 448 * 448},
    ).save_pretrained(folder)  # fmt: skip


def make_siglip(folder: Path, *, image: int = 96, patch: int = 12, hidden: int = 96, seed: int = SEED) -> None:
    """A random SigLIP checkpoint. Its wide first layer keeps apart what looks different, trained or not."""
    tokenizer = make_tokenizer(folder, ())
    shape = {"hidden_size": hidden, "intermediate_size": hidden * 2, "num_attention_heads": 4}
    config = SiglipConfig(
        text_config={
            **shape, "num_hidden_layers": 1, "vocab_size": len(tokenizer), "max_position_embeddings": 64,
            "projection_size": hidden, "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={**shape, "num_hidden_layers": 1, "image_size": image, "patch_size": patch},
    )  # fmt: skip
    _save(SiglipModel, config, folder, None, seed)
    SiglipImageProcessorPil(size={"height": image, "width": image}).save_pretrained(folder)


def make_whisper(folder: Path, *, seed: int = SEED) -> None:
    """A tiny random Whisper checkpoint."""
    from transformers import WhisperFeatureExtractor, WhisperProcessor

    tokenizer = make_tokenizer(folder, ())
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_target_positions=256,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.bos_token_id,
        suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    _save(WhisperForConditionalGeneration, config, folder, tokenizer, seed)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)


def _save(model_class: Any, config: Any, folder: Path, tokenizer: Any | None, seed: int) -> None:
    torch.manual_seed(seed)
    model = model_class(config)
    if tokenizer is not None:
        model.generation_config = GenerationConfig(
            eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
            pad_token_id=tokenizer.pad_token_id, do_sample=False,
        )  # fmt: skip
    model.save_pretrained(folder)


def make_standins(folder: Path) -> None:
    """Both stand-ins, there at once or not at all: two servers that start together do no harm."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        make_idefics3(made / "model")
        make_siglip(made / "encoder")
        made.rename(folder)
    except OSError:
        if not (folder / "model" / "config.json").exists():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> int:
    """Make the stand-ins in the folder that the command line names."""
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    make_standins(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
