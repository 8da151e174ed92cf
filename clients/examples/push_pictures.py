"""Push a film or a webcam over the websocket, twice a second: `push_pictures.py desk film.mp4` or `/dev/video0`."""

import io
import os
import sys
import time

import av
import httpx
from PIL import Image
from websockets.sync.client import connect

url, key = os.environ.get("OMNILIVE_URL", "http://127.0.0.1:8000"), os.environ.get("OMNILIVE_API_KEY")
headers = {"Authorization": f"Bearer {key}"} if key else {}
stream, source = sys.argv[1:]
webcam = source.startswith("/dev/")
httpx.post(f"{url}/v1/streams", json={"id": stream, "source": {"push": True}}, headers=headers)

with (
    av.open(source, format="v4l2" if webcam else None) as film,
    connect(f"ws{url[4:]}/v1/streams/{stream}/live", additional_headers=headers) as socket,
):
    every = max(1, round((film.streams.video[0].average_rate or 30) / 2))
    for frame in (one for n, one in enumerate(film.decode(video=0)) if n % every == 0):
        Image.fromarray(frame.to_ndarray(format="rgb24")).save(picture := io.BytesIO(), "JPEG")
        socket.send(picture.getvalue())
        time.sleep(0 if webcam else 0.5)
