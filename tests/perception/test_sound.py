"""Voice activity: synthetic sound always, real speech where OMNILIVE_MEDIA names a folder that has some."""

import os
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from perception import voice
from perception.config import SoundConfig
from perception.errors import StartRefused
from perception.sound import MAX_SPAN_US, SpeechDetector, SpeechSpan
from perception.voice import RATE, WINDOW, VoiceNet, fresh_state, load_voice_net
from training import world_sound

Sound = NDArray[np.float32]
MEDIA = os.environ.get("OMNILIVE_MEDIA", "")
CHUNK = 1024


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(seconds: float, level: float = 0.05) -> Sound:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE)).astype(np.float32)


def speech(seconds: float, seed: int = 3) -> Sound:
    return world_sound.voice(seconds, seed)


def us(samples: int) -> int:
    return samples * 1_000_000 // RATE


def hear(detector: SpeechDetector, sound: Sound, start_us: int = 0, chunk: int = CHUNK) -> list[SpeechSpan]:
    found = []
    for first in range(0, len(sound), chunk):
        found += detector.feed(sound[first : first + chunk], start_us + us(first))
    return found


def all_of(sound: Sound, chunk: int = CHUNK, config: SoundConfig | None = None) -> list[SpeechSpan]:
    detector = SpeechDetector(config or SoundConfig())
    return [*hear(detector, sound, chunk=chunk), *detector.flush()]


def times(spans: list[SpeechSpan]) -> list[tuple[int, int]]:
    return [(span.start_us, span.end_us) for span in spans]


# ---------------------------------------------------------------- what is and is not speech


@pytest.mark.parametrize(
    "sound",
    [silence(5), noise(5), noise(5, 0.001), world_sound.tone(5, 440), world_sound.tone(0.4, 1320).repeat(8)],
    ids=["silence", "noise", "hiss", "tone", "low tone"],
)
def test_what_is_no_speech_gives_no_span(sound: Sound) -> None:
    assert all_of(sound) == []


@pytest.mark.parametrize("seed", range(4))
def test_speech_between_silence_is_one_span_at_its_time(seed: int) -> None:
    spans = all_of(np.concatenate([silence(2), speech(2.5, seed), silence(2)]))
    assert len(spans) == 1
    assert abs(spans[0].start_us - 2_000_000) <= 300_000
    assert abs(spans[0].end_us - 4_500_000) <= 300_000


def test_samples_are_what_was_heard_in_the_span() -> None:
    sound = np.concatenate([noise(1, 0.001), speech(2), noise(1, 0.001)])
    (span,) = all_of(sound)
    first = span.start_us * RATE // 1_000_000
    assert len(span.samples) == (span.end_us - span.start_us) * RATE // 1_000_000
    np.testing.assert_array_equal(span.samples, sound[first : first + len(span.samples)])


def test_a_pause_longer_than_the_hangover_parts_two_spans() -> None:
    config = SoundConfig(silence_ms=300)
    together = np.concatenate([speech(1.5, 1), silence(0.15), speech(1.5, 2), silence(1)])
    apart = np.concatenate([speech(1.5, 1), silence(1.0), speech(1.5, 2), silence(1)])
    assert len(all_of(together, config=config)) == 1
    assert len(all_of(apart, config=config)) == 2


def test_speech_that_is_too_short_is_dropped() -> None:
    blip = np.concatenate([silence(1), speech(0.8), silence(1)])
    assert all_of(blip, config=SoundConfig(min_speech_ms=200))
    assert not all_of(blip, config=SoundConfig(min_speech_ms=1500))


def test_broken_samples_are_silence() -> None:
    sound = np.concatenate([speech(2), silence(1), speech(2), silence(1)])
    sound[RATE * 9 // 4 : RATE * 10 // 4] = np.nan
    sound[RATE * 10 // 4 : RATE * 11 // 4] = np.inf
    assert len(all_of(sound)) == 2


# ---------------------------------------------------------------- chunks, time, bounds


@pytest.mark.parametrize("chunk", [160, 511, 512, 4096, 10**6])
def test_chunks_make_no_difference(chunk: int) -> None:
    sound = np.concatenate([silence(1), speech(2, 1), noise(1, 0.01), speech(1.5, 2), silence(2), speech(1, 4)])
    expected = all_of(sound)
    found = all_of(sound, chunk)
    assert times(found) == times(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


def test_a_span_is_given_out_once_silence_has_lasted() -> None:
    detector = SpeechDetector(SoundConfig(silence_ms=500))
    sound = np.concatenate([speech(2), silence(0.4)])
    assert hear(detector, sound) == []
    assert detector.speaking_since_us is not None
    assert len(hear(detector, silence(0.4), us(len(sound)))) == 1
    assert detector.speaking_since_us is None


def test_flush_gives_the_open_span_and_starts_afresh() -> None:
    detector = SpeechDetector(SoundConfig())
    assert hear(detector, speech(2)) == []
    assert len(detector.flush()) == 1
    assert detector.flush() == []
    (later,) = [*hear(detector, speech(2), 60_000_000), *detector.flush()]
    assert later.start_us >= 60_000_000


def test_a_jump_in_time_closes_the_span() -> None:
    detector = SpeechDetector(SoundConfig())
    sound = speech(4)
    before, after = sound[: 2 * RATE], sound[2 * RATE :]
    found = [*hear(detector, before), *hear(detector, after, 30_000_000), *detector.flush()]
    assert len(found) == 2
    assert found[0].end_us <= 2_000_000
    assert 30_000_000 <= found[1].start_us <= 30_500_000


def test_jitter_of_the_stamps_does_not_break_a_span() -> None:
    detector, sound = SpeechDetector(SoundConfig()), speech(4)
    dice = np.random.default_rng(2)
    found = []
    for first in range(0, len(sound), CHUNK):
        found += detector.feed(sound[first : first + CHUNK], 500_000 + us(first) + int(dice.integers(-80_000, 80_000)))
    assert len([*found, *detector.flush()]) == 1


def test_between_spans_time_follows_the_stamps() -> None:
    """A sender whose clock runs one per cent fast is not off by seconds after minutes."""
    detector = SpeechDetector(SoundConfig())
    quiet = noise(60, 0.001)
    for first in range(0, len(quiet), CHUNK):
        detector.feed(quiet[first : first + CHUNK], us(first) * 101 // 100)
    (span,) = [*hear(detector, speech(2), us(len(quiet)) * 101 // 100), *detector.flush()]
    assert abs(span.start_us - 60_600_000) < 300_000


def test_endless_speech_is_cut_into_bounded_spans_without_loss() -> None:
    spans = all_of(speech(75, 5), chunk=RATE)
    assert len(spans) == 3
    assert all(span.end_us - span.start_us <= MAX_SPAN_US for span in spans)
    assert [span.end_us for span in spans[:-1]] == [span.start_us for span in spans[1:]]
    assert spans[0].start_us < 500_000
    assert spans[-1].end_us > 74_500_000


def test_streams_that_share_the_network_do_not_disturb_each_other() -> None:
    net = load_voice_net()
    one, other = SpeechDetector(SoundConfig(), net), SpeechDetector(SoundConfig(), net)
    loud, quiet = np.concatenate([speech(3), silence(1)]), noise(4, 0.01)
    found: list[SpeechSpan] = []
    for first in range(0, len(loud), CHUNK):
        found += one.feed(loud[first : first + CHUNK], us(first))
        assert other.feed(quiet[first : first + CHUNK], us(first)) == []
    assert times([*found, *one.flush()]) == times(all_of(loud))


# ---------------------------------------------------------------- the network


def test_the_arithmetic_is_the_package_s_own() -> None:
    """With the weights of silero's TorchScript model, the numbers are those of silero's TorchScript model."""
    package = find_spec("silero_vad")
    assert package is not None
    assert package.submodule_search_locations is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        original = torch.jit.load(Path(package.submodule_search_locations[0]) / "data" / "silero_vad.jit")
    stored = {name: values.numpy() for name, values in original._model.state_dict().items()}
    names = {"stft_conv.weight": "stft.forward_basis_buffer"}
    for part in ("weight", "bias"):
        names |= {f"conv{n + 1}.{part}": f"encoder.{n}.reparam_conv.{part}" for n in range(4)}
        names |= {f"lstm_cell.{part}_{side}": f"decoder.rnn.{part}_{side}" for side in ("ih", "hh")}
        names |= {f"final_conv.{part}": f"decoder.decoder.2.{part}"}
    sound = np.concatenate([speech(3), noise(1)])
    windows = sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW)
    chances, _ = VoiceNet({ours: stored[theirs] for ours, theirs in names.items()}).chances(windows, fresh_state())
    expected = [original(torch.from_numpy(window), RATE).item() for window in windows]
    np.testing.assert_allclose(chances, expected, atol=1e-4)


def test_a_package_that_is_missing_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "find_spec", lambda name: None)
    load_voice_net.cache_clear()
    with pytest.raises(StartRefused, match="silero-vad") as refused:
        load_voice_net()
    assert refused.value.code == "model_not_found"


def test_silence_costs_next_to_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    costs = {name: _ms_per_second(sound) for name, sound in (("silence", silence(20)), ("noise", noise(20)))}
    with capsys.disabled():
        print("  voice activity:", ", ".join(f"{name} {cost:.2f} ms a second" for name, cost in costs.items()))
    assert costs["silence"] < costs["noise"] / 2


def _ms_per_second(sound: Sound) -> float:
    detector = SpeechDetector(SoundConfig())
    began = time.perf_counter()
    hear(detector, sound)
    return (time.perf_counter() - began) * 1000 / (len(sound) / RATE)


# ---------------------------------------------------------------- real speech


def _decoded(path: Path) -> Sound:
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(str(path)) as container:
        pieces = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate([piece.to_ndarray().ravel() for piece in [*pieces, *resampler.resample(None)]])


@pytest.mark.skipif(not MEDIA, reason="OMNILIVE_MEDIA names no folder with recorded speech")
@pytest.mark.parametrize(
    ("name", "spoken_s"),
    [
        ("hello_world.wav", 0.7),
        ("weather_question.wav", 1.3),
        ("describe_what_you_see.mp3", 2.0),
        ("ixc_english.mp3", 0.9),
        ("ixc_chinese.mp3", 2.2),
        ("cough.wav", 0.0),
    ],
)
def test_real_speech_is_found(name: str, spoken_s: float, capsys: pytest.CaptureFixture[str]) -> None:
    sound = _decoded(Path(MEDIA) / name)
    spans = all_of(np.concatenate([silence(1), sound, silence(1)]))
    with capsys.disabled():
        found = ", ".join(f"{span.start_us / 1e6 - 1:.2f} to {span.end_us / 1e6 - 1:.2f} s" for span in spans)
        print(f"  {name} ({len(sound) / RATE:.1f} s): {found or 'no speech'}")
    assert sum(span.end_us - span.start_us for span in spans) / 1e6 == pytest.approx(spoken_s, abs=0.4)
