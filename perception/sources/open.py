"""From a stream's declaration to the object that reads it."""

from perception.messages import FileSource, OpenStream, PushSource, RtspSource
from perception.sources.base import Reader
from perception.sources.file import FileReader
from perception.sources.rtsp import RtspReader, Vetting, trusted
from perception.sources.turnstile import Turnstile


def open_reader(opened: OpenStream, vetting: Vetting = trusted, turnstile: Turnstile | None = None) -> Reader | None:
    """The reader of a stream's source; None where its media is pushed. vetting: entered while a camera is opened.
    turnstile: where all cameras wait for their turn to be opened."""
    match opened.source:
        case FileSource(path, pace):
            return FileReader(opened, path, pace)
        case RtspSource(url):
            return RtspReader(opened, url, vetting, turnstile)
        case PushSource():
            return None
