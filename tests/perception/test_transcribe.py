"""Speech recognition by checkpoints of both kinds, random and tiny, made on the spot."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    SpeechT5Config,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizerFast,
)

from perception.config import ModelConfig
from perception.errors import StartRefused
from perception.transcribe import load_transcriber

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of 2 x 1 layers that says what its random weights make it say."""
    folder = tmp_path_factory.mktemp("whisper")
    words = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", *LETTERS]
    plain = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel()
    plain.add_special_tokens(words[:3])
    tokenizer = WhisperTokenizerFast(tokenizer_object=plain, eos_token=words[0], bos_token=words[0])
    WhisperProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=40,
        decoder_start_token_id=1, eos_token_id=0, pad_token_id=0, bos_token_id=0, suppress_tokens=None,
        begin_suppress_tokens=[0],
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config.no_timestamps_token_id = 2
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wav2vec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wav2vec 2.0 of one layer over the letters."""
    folder = tmp_path_factory.mktemp("wav2vec")
    words = ["<pad>", "<unk>", "|", *LETTERS]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), bos_token=None, eos_token=None)
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def settings(folder: Path) -> ModelConfig:
    return ModelConfig(str(folder), device="cpu", dtype="float32")


def some_sound(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec"])
@pytest.mark.parametrize("seconds", [0.01, 1.5, 30.0])
def test_any_length_gives_a_sentence_and_the_same_one_again(
    kind: str, seconds: float, request: pytest.FixtureRequest
) -> None:
    transcriber = load_transcriber(settings(request.getfixturevalue(kind)))
    said = transcriber.transcribe(some_sound(seconds))
    assert isinstance(said, str)
    assert "<|" not in said
    assert transcriber.transcribe(some_sound(seconds)) == said


@pytest.mark.parametrize("kind", ["whisper", "wav2vec"])
def test_words_come_from_the_weights(kind: str, request: pytest.FixtureRequest) -> None:
    said = load_transcriber(settings(request.getfixturevalue(kind))).transcribe(some_sound(3.0))
    assert set(said) & set(LETTERS)


def test_a_recogniser_that_never_stops_is_bounded_by_the_length_of_the_speech(whisper: Path) -> None:
    transcriber = load_transcriber(settings(whisper))
    assert len(transcriber.transcribe(some_sound(0.2))) <= 8 + 16 * 0.2 + 1
    assert len(transcriber.transcribe(some_sound(30.0))) <= 40


def test_ctc_gives_what_the_best_token_of_each_moment_spells(wav2vec: Path) -> None:
    sound = some_sound(2.0)
    processor = Wav2Vec2Processor.from_pretrained(wav2vec)
    model = Wav2Vec2ForCTC.from_pretrained(wav2vec).eval()
    with torch.inference_mode():
        logits = model(processor(sound, sampling_rate=16_000, return_tensors="pt").input_values).logits
    expected = processor.batch_decode(logits.argmax(-1))[0]
    assert load_transcriber(settings(wav2vec)).transcribe(sound) == expected.strip()


@pytest.mark.parametrize("kind", ["whisper", "wav2vec"])
def test_a_checkpoint_without_tokenizer_is_refused(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(request.getfixturevalue(kind) / name, bare)
    with pytest.raises(StartRefused) as refused:
        load_transcriber(settings(bare))
    assert refused.value.code == "model_not_found"


def test_missing_weights_are_refused(whisper: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    shutil.copytree(whisper, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "decoder_layers": 2}))
    with pytest.raises(StartRefused) as refused:
        load_transcriber(settings(folder))
    assert refused.value.code == "model_shape_mismatch"


def test_pickled_weights_are_refused(wav2vec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(wav2vec, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(StartRefused) as refused:
        load_transcriber(settings(folder))
    assert refused.value.code == "model_unsafe_weights"


@pytest.mark.parametrize("content", ["", '{"model_type": "clip"}', '{"model_type": "no-such-model"}'])
def test_what_is_no_recogniser_is_refused(content: str, tmp_path: Path, wav2vec: Path) -> None:
    shutil.copy(wav2vec / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(StartRefused) as refused:
        load_transcriber(settings(tmp_path))
    assert refused.value.code == "model_not_found"
    assert str(tmp_path) not in refused.value.message


def test_a_model_that_speaks_is_none_that_listens(tmp_path: Path, wav2vec: Path) -> None:
    shutil.copy(wav2vec / "model.safetensors", tmp_path)
    SpeechT5Config(encoder_layers=1, decoder_layers=1).save_pretrained(tmp_path)
    with pytest.raises(StartRefused):
        load_transcriber(settings(tmp_path))
