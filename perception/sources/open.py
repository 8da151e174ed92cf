"""From a stream's declaration to the object that reads it."""

from perception.messages import FileSource, OpenStream, PushSource, RtspSource
from perception.sources.base import Reader
from perception.sources.file import FileReader
from perception.sources.rtsp import RtspReader, Vetting, trusted


def open_reader(opened: OpenStream, vetting: Vetting = trusted) -> Reader | None:
    """The reader of a stream's source; None where its media is pushed. vetting: entered while a camera is opened."""
    match opened.source:
        case FileSource(path, pace):
            return FileReader(opened, path, pace)
        case RtspSource(url):
            return RtspReader(opened, url, vetting)
        case PushSource():
            return None
