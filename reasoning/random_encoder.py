"""A random SigLIP checkpoint that ranks pictures by likeness although it has learnt nothing."""

from pathlib import Path
from typing import Any, Final

import torch
from transformers import SiglipConfig, SiglipModel

from reasoning.random_text import save_tokenizer, train_tokenizer, write_json

_END: Final = "</s>"
_SAMPLES: Final = 64


def make_siglip(folder: Path, seed: int = 0, image: int = 96, patch: int = 12, hidden: int = 128) -> Path:
    """A random dual encoder. Its image half tells scenes apart; its text half means nothing. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer((_END,), 320)
    shape = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_attention_heads": 16}
    text = {
        "num_hidden_layers": 1,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    vision = {"num_hidden_layers": 1, "image_size": image, "patch_size": patch}
    torch.manual_seed(seed)
    model = SiglipModel(SiglipConfig(text_config={**shape, **text}, vision_config={**shape, **vision}))
    _spread(model.vision_model)
    model.save_pretrained(folder)
    save_tokenizer(folder, tokenizer, _END, None, 64)
    write_json(
        folder,
        "preprocessor_config.json",
        {
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "SiglipProcessor",
            "size": {"height": image, "width": image},
            "resample": 3,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )
    return folder


@torch.no_grad()
def _spread(tower: Any) -> None:
    """Draw the tower so that pictures lie far apart: it keeps random sums of colours, cell by cell of a coarse grid."""
    heads = tower.config.num_attention_heads
    _see(tower.embeddings, heads)
    for layer in tower.encoder.layers:
        layer.self_attn.out_proj.weight.zero_()
        layer.self_attn.out_proj.bias.zero_()
        layer.mlp.fc2.weight[:heads].zero_()
        layer.mlp.fc2.bias.zero_()
    _pool_by_cells(tower.head, tower.config.hidden_size, heads)
    _centre(tower)


def _see(embeddings: Any, cells: int) -> None:
    """The first `cells` numbers of a patch say where it lies, the others are random smooth filters of its colours."""
    weight, side = embeddings.patch_embedding.weight, round(embeddings.num_positions**0.5)
    coarse = torch.randn(weight.shape[0], weight.shape[1], 3, 3) + torch.randn(weight.shape[0], weight.shape[1], 1, 1)
    smooth = torch.nn.functional.interpolate(coarse, size=weight.shape[-2:], mode="bilinear", align_corners=False)
    weight.copy_(smooth / smooth.flatten(1).norm(dim=1)[:, None, None, None] / weight[0, 0].numel() ** 0.5)
    weight[:cells].zero_()
    embeddings.patch_embedding.bias.zero_()
    across = round(cells**0.5)
    row, column = (torch.arange(embeddings.num_positions) // side, torch.arange(embeddings.num_positions) % side)
    cell = row * across // side * across + column * across // side
    embeddings.position_embedding.weight.zero_()
    embeddings.position_embedding.weight[torch.arange(len(cell)), cell] = 16.0


def _pool_by_cells(head: Any, hidden: int, heads: int) -> None:
    """Each head of the pooling attention looks at one cell and passes on a share of the filters."""
    attention, width = head.attention, hidden // heads
    attention.in_proj_weight.zero_()
    attention.in_proj_bias.zero_()
    first = torch.arange(heads) * width
    attention.in_proj_bias[first] = 8.0
    attention.in_proj_weight[hidden + first, torch.arange(heads)] = 1.0
    values = torch.randn(hidden - heads, width)
    for one in range(heads):
        attention.in_proj_weight[2 * hidden + one * width : 2 * hidden + (one + 1) * width, heads:] = values.T
    attention.out_proj.weight.copy_(torch.eye(hidden))
    attention.out_proj.bias.zero_()
    head.mlp.fc2.weight.zero_()
    head.mlp.fc2.bias.zero_()


def _centre(tower: Any) -> None:
    """Take off what is common to all pictures, learnt from random smooth ones."""
    size = tower.config.image_size
    fields = torch.randn(_SAMPLES, 3, 4, 4)
    pictures = torch.nn.functional.interpolate(fields, size=(size, size), mode="bilinear", align_corners=False)
    tower.eval()
    mean = tower((0.5 * pictures + 0.3 * torch.randn(_SAMPLES, 3, 1, 1)).clamp(-1, 1)).pooler_output.mean(0)
    tower.head.mlp.fc2.bias.copy_(-mean)
