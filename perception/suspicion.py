"""Which pictures of a damaged video not to trust: what FFmpeg says of pictures and packets in, verdicts out."""

from typing import Final

from perception.decode import Picture

MARK: Final = b"suspect"
"""The comment in the JPEG of a picture that was decoded from damaged data, or refers to one that was."""


class Suspicion:
    """Of one video, its pictures in the order in which they are shown.

    Damage spreads: what FFmpeg tells of one picture is true of all that refer to it, up to the next whole keyframe.
    """

    def __init__(self) -> None:
        self._damaged = False

    def damage(self) -> None:
        """A packet was marked as damaged, or could not be decoded."""
        self._damaged = True

    def suspects(self, picture: Picture) -> bool:
        """Whether a picture may show what was never sent."""
        if picture.rgb is not None:
            # An image stands for itself, and a broken one is none.
            return False
        self._damaged = picture.corrupt or (self._damaged and not picture.frame.key_frame)
        return self._damaged
