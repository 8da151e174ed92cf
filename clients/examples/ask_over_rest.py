"""Ask a stream over REST and name the moments that prove the answer: `ask_over_rest.py door "Who came?"`."""

import os
import sys

import httpx

url = os.environ.get("OMNILIVE_URL", "http://127.0.0.1:8000")
key = os.environ.get("OMNILIVE_API_KEY")
headers = {"Authorization": f"Bearer {key}"} if key else {}
stream, question = sys.argv[1:]

response = httpx.post(f"{url}/v1/streams/{stream}/questions", json={"question": question}, headers=headers, timeout=120)
answer = response.json()
if response.is_error:
    sys.exit(answer["error"]["message"])
print(answer["answer"])
for moment in answer["evidence"]:
    print(moment["start"], "to", moment["end"], url + moment["frame"])
