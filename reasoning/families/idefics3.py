"""Idefics3 and SmolVLM: a frame is one global picture between marks, as their processor writes it.

Known here, since SmolVLM's processor wants a package for numbers in words before it says anything.
"""

from perception.config import ModelConfig
from perception.vision import CheckpointVision
from reasoning.families.common import Family
from reasoning.families.marks import Marks


class Idefics3(Family):
    """Sets the visual tokens of a frame between the family's marks."""

    def learn(self, config: ModelConfig, vision: CheckpointVision) -> None:
        """See `Family.learn`."""
        self.stacked = vision.stacked
        mark = "<fake_token_around_image>"
        self.marks = Marks(self.marks.placeholder, f"{mark}<global-img>", mark)


FAMILY = Idefics3
