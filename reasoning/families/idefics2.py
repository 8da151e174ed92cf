"""Idefics2: a frame stands between two equal marks. Known here, since its processor cannot be asked for one picture."""

from perception.config import ModelConfig
from perception.vision import CheckpointVision
from reasoning.families.common import Family
from reasoning.families.marks import Marks


class Idefics2(Family):
    """Sets the visual tokens of a frame between the family's marks."""

    def learn(self, config: ModelConfig, vision: CheckpointVision) -> None:
        """See `Family.learn`."""
        self.stacked = vision.stacked
        mark = "<fake_token_around_image>"
        self.marks = Marks(self.marks.placeholder, mark, mark)


FAMILY = Idefics2
