"""A camera made of GStreamer: a moving ball in H.264, a tone in G.711; by TCP alone, or by UDP alone if told so.

Run by Debian's own Python, which has `gi`: `gst_camera.py [tcp|udp]`.
"""

import sys

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # type: ignore[import-not-found] # noqa: E402

LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=15/1"
    " ! x264enc tune=zerolatency key-int-max=15 ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8 )"
)

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(LAUNCH)
factory.set_shared(True)
by_udp = sys.argv[1:] == ["udp"]
factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP if by_udp else GstRtsp.RTSPLowerTrans.TCP)
server.get_mount_points().add_factory("/door", factory)
server.attach(None)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/door", flush=True)
GLib.MainLoop().run()
