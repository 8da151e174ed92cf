"""The procedural world's public face: a seed in; a script, its frames, its video, its questions and captions out.

    script = World(seed=7).script()
    write_video(script, Path("seven.mp4"))
    for question in questions(script, at_us=script.duration_us): ...

How it is made up: `world_script` (what can happen), `world_writer` (seed to script), `world_render`, `world_sound` and
`world_video` (script to file), `world_questions` and `world_forms` (script to questions and captions), `world_witness`
(what can be told from some frames of it), `world_strip` (its state, for programs that read pixels).
"""

from dataclasses import dataclass, replace

from training.world_forms import CANNOT_TELL, as_letters, as_yes_no
from training.world_questions import (
    NONE,
    NUMBERS,
    Caption,
    WorldQuestion,
    at_place,
    captions,
    like_sign,
    questions,
    with_shuffled_choices,
)
from training.world_render import frame, frame_times, frames
from training.world_script import (
    COLOURS,
    PLACES,
    ROOMS,
    SECOND,
    SHAPES,
    UNSEEN_PAIRS,
    Appeared,
    Beeped,
    Cut,
    Entered,
    Event,
    Left,
    Moved,
    Script,
    SignShown,
    Spoke,
    Thing,
)
from training.world_sound import soundtrack
from training.world_strip import STRIP_HEIGHT, STRIP_WIDTH, StripState, read_strip, strip_state, with_strip
from training.world_video import write_video
from training.world_witness import Sheet, Shown, Witness
from training.world_writer import PRESETS, Preset, write_script

__all__ = [
    "CANNOT_TELL",
    "COLOURS",
    "NONE",
    "NUMBERS",
    "PLACES",
    "PRESETS",
    "ROOMS",
    "SECOND",
    "SHAPES",
    "STRIP_HEIGHT",
    "STRIP_WIDTH",
    "UNSEEN_PAIRS",
    "Appeared",
    "Beeped",
    "Caption",
    "Cut",
    "Entered",
    "Event",
    "Left",
    "Moved",
    "Preset",
    "Script",
    "Sheet",
    "Shown",
    "SignShown",
    "Spoke",
    "StripState",
    "Thing",
    "Witness",
    "World",
    "WorldQuestion",
    "as_letters",
    "as_yes_no",
    "at_place",
    "captions",
    "frame",
    "frame_times",
    "frames",
    "like_sign",
    "questions",
    "read_strip",
    "soundtrack",
    "strip_state",
    "with_shuffled_choices",
    "with_strip",
    "write_video",
]


@dataclass(frozen=True)
class World:
    """One world: all of it follows from the seed and the preset."""

    seed: int
    preset: Preset = PRESETS["plain"]

    def script(self, duration_s: float | None = None) -> Script:
        """What happens in it, for the preset's duration or another."""
        preset = self.preset if duration_s is None else replace(self.preset, duration_s=duration_s)
        return write_script(self.seed, preset)
