"""A headless Chromium, told what to do over its debugging pipe, and what its network panel would export.

The entries are made of the protocol's events as Chromium's own DevTools make them when a HAR is exported:
https://chromedevtools.github.io/devtools-protocol/tot/Network/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlsplit

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MISSING = "no Chromium on PATH; install it: apt-get install -y chromium (Debian) or snap install chromium (Ubuntu)"
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")

# The browser takes its ends of the pipe at 3 and 4, which may be in use here: a process between us puts them there.
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str:
    """The browser's path; the test fails if there is none."""
    found = [path for name in _NAMES if (path := shutil.which(name))]
    if not found:
        pytest.fail(_MISSING)
    return found[0]


@dataclass
class Hop:
    """One request of a chain of redirects, as the events told."""

    sent: dict[str, Any]
    sent_extra: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    answer_extra: dict[str, Any] = field(default_factory=dict)
    received: float = -1.0
    ended: float = -1.0
    length: int = 0
    transferred: int = -1
    failed: str = ""
    cached: bool = False


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int, writing: int) -> None:
        self._process = process
        self._reading, self._writing = reading, writing
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, command: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; what else is told meanwhile is kept."""
        self._number += 1
        message = {"id": self._number, "method": command, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                if "error" in told:
                    raise LookupError(f"{command}: {told['error']['message']}")
                result: dict[str, Any] = told["result"]
                return result

    def wait(self, event: str) -> None:
        """Until an event of this name was told."""
        while all(name != event for name, _ in self.events):
            self._next()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._reading, 1 << 16)
            if not more:
                raise ConnectionError("the browser ended")
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        if "method" in told:
            self.events.append((told["method"], told["params"]))
        return told


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, closed afterwards."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    ends = (str(theirs_in), str(theirs_out))
    command = [sys.executable, "-c", _START, *ends, chromium(), *_OPTIONS, f"--user-data-dir={profile}"]
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=log, stderr=log)
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(process, ours_in, ours_out)
    finally:
        process.terminate()
        process.wait(timeout=20)
        os.close(ours_in)
        os.close(ours_out)


def record(browsing: Browser, url: str, done: str) -> dict[str, Any]:
    """Open a page and wait for the promise `done`, a JavaScript expression; what the network panel would export as HAR."""
    browsing.ask("Page.enable")
    browsing.ask("Network.enable", maxTotalBufferSize=1 << 26, maxResourceBufferSize=1 << 24)
    browsing.ask("Page.navigate", url=url)
    browsing.wait("Page.loadEventFired")
    result = browsing.ask("Runtime.evaluate", expression=done, awaitPromise=True, returnByValue=True)
    if "exceptionDetails" in result:
        raise AssertionError(f"the page failed: {result['exceptionDetails']['exception'].get('description')}")
    chains = _chains(browsing)
    deadline = time.monotonic() + 20
    while any(chain[-1].ended < 0 for chain in chains.values()) and time.monotonic() < deadline:
        browsing.ask("Runtime.evaluate", expression="new Promise(done => setTimeout(done, 20))", awaitPromise=True)
        chains = _chains(browsing)
    entries = [_entry(browsing, key, hop, last=hop is chain[-1]) for key, chain in chains.items() for hop in chain]
    version = browsing.ask("Browser.getVersion")["product"].partition("/")[2]
    page = {"startedDateTime": entries[0]["startedDateTime"], "id": "page_1", "title": url, "pageTimings": _loading(browsing)}
    creator = {"name": "WebInspector", "version": version}
    return {"log": {"version": "1.2", "creator": creator, "pages": [page], "entries": entries}}


def _loading(browsing: Browser) -> dict[str, float]:
    times = {
        name: told["timestamp"] for name, told in browsing.events if name in ("Page.domContentEventFired", "Page.loadEventFired")
    }
    first = next(told["timestamp"] for name, told in browsing.events if name == "Network.requestWillBeSent")
    return {
        "onContentLoad": (times["Page.domContentEventFired"] - first) * 1000,
        "onLoad": (times["Page.loadEventFired"] - first) * 1000,
    }


def _chains(browsing: Browser) -> dict[str, list[Hop]]:
    """The requests by id, each with the hops that its redirects made of it."""
    chains: dict[str, list[Hop]] = {}
    extras: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, told in browsing.events:
        key = told.get("requestId", "")
        chain = chains.setdefault(key, []) if name == "Network.requestWillBeSent" else chains.get(key, [])
        if name in ("Network.requestWillBeSentExtraInfo", "Network.responseReceivedExtraInfo"):
            extras.setdefault(key, {}).setdefault(name, []).append(told)
        elif name == "Network.requestWillBeSent":
            if "redirectResponse" in told:
                chain[-1].answer = told["redirectResponse"]
                chain[-1].received = chain[-1].ended = told["timestamp"]
                chain[-1].transferred = told["redirectResponse"]["encodedDataLength"]
            chain.append(Hop(told))
        elif not chain:
            continue
        elif name == "Network.responseReceived":
            chain[-1].answer, chain[-1].received = told["response"], told["timestamp"]
        elif name == "Network.requestServedFromCache":
            chain[-1].cached = True
        elif name == "Network.dataReceived":
            chain[-1].length += told["dataLength"]
        elif name == "Network.loadingFinished":
            chain[-1].ended, chain[-1].transferred = told["timestamp"], int(told["encodedDataLength"])
        elif name == "Network.loadingFailed":
            chain[-1].ended, chain[-1].failed = told["timestamp"], told["errorText"]
    for key, chain in chains.items():
        for hop, extra in zip(chain, extras.get(key, {}).get("Network.requestWillBeSentExtraInfo", []), strict=False):
            hop.sent_extra = extra
        for hop, extra in zip(chain, extras.get(key, {}).get("Network.responseReceivedExtraInfo", []), strict=False):
            hop.answer_extra = extra
    return {key: chain for key, chain in chains.items() if not chain[0].sent["request"]["url"].startswith("data:")}


def _entry(browsing: Browser, key: str, hop: Hop, *, last: bool) -> dict[str, Any]:
    timings = _timings(hop)
    entry: dict[str, Any] = {
        "_connectionId": str(hop.answer.get("connectionId", 0)),
        "_initiator": hop.sent["initiator"],
        "_priority": hop.sent["request"]["initialPriority"],
        "_resourceType": "preflight" if hop.sent["initiator"]["type"] == "preflight" else hop.sent["type"].lower(),
        "cache": {},
        "connection": str(hop.answer["remotePort"]) if hop.answer.get("remotePort") else None,
        "pageref": "page_1",
        "request": _request(browsing, key, hop),
        "response": _response(browsing, key, hop, last=last),
        "serverIPAddress": hop.answer.get("remoteIPAddress", ""),
        "startedDateTime": datetime.fromtimestamp(hop.sent["wallTime"], UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "time": round(sum(max(timings[name], 0) for name in ("blocked", "dns", "connect", "send", "wait", "receive")), 3),
        "timings": timings,
    }
    if hop.cached:
        entry["_fromCache"] = "memory"
    elif hop.answer.get("fromDiskCache"):
        entry["_fromCache"] = "disk"
    return {name: value for name, value in entry.items() if value is not None}


def _request(browsing: Browser, key: str, hop: Hop) -> dict[str, Any]:
    sent = hop.sent["request"]
    url = urldefrag(sent["url"]).url
    headers = _pairs(hop.sent_extra.get("headers") or sent["headers"])
    body = sent.get("postData", "")
    if sent.get("hasPostData") and not body:
        body = browsing.ask("Network.getRequestPostData", requestId=key)["postData"]
    request: dict[str, Any] = {
        "method": sent["method"],
        "url": url,
        "httpVersion": hop.answer.get("protocol", ""),
        "headers": headers,
        "queryString": [{"name": name, "value": value} for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)],
        "cookies": [],
        "headersSize": -1,
        "bodySize": len(body.encode()),
    }
    if body:
        kind = next((header["value"] for header in headers if header["name"].lower() == "content-type"), "")
        request["postData"] = {"mimeType": kind, "text": body}
    return request


def _response(browsing: Browser, key: str, hop: Hop, *, last: bool) -> dict[str, Any]:
    answer = hop.answer
    headers = _pairs(hop.answer_extra.get("headers") or answer.get("headers", {}))
    content: dict[str, Any] = {"size": hop.length, "mimeType": answer.get("mimeType") or "x-unknown"}
    if answer and last and not hop.failed:
        try:
            body = browsing.ask("Network.getResponseBody", requestId=key)
        except LookupError:  # of a preflight, say
            pass
        else:
            content["text"] = body["body"]
            if body["base64Encoded"]:
                content["encoding"] = "base64"
    return {
        "status": hop.answer_extra.get("statusCode") or answer.get("status", 0),
        "statusText": answer.get("statusText", ""),
        "httpVersion": answer.get("protocol", ""),
        "headers": headers,
        "cookies": [],
        "content": content,
        "redirectURL": next((header["value"] for header in headers if header["name"].lower() == "location"), ""),
        "headersSize": len(hop.answer_extra["headersText"]) if "headersText" in hop.answer_extra else -1,
        "bodySize": 0 if answer.get("fromDiskCache") or hop.cached else hop.length if answer else -1,
        "_transferSize": 0 if answer.get("fromDiskCache") or hop.cached else max(hop.transferred, 0),
        "_error": hop.failed or None,
    }


def _pairs(headers: dict[str, str]) -> list[dict[str, str]]:
    """Headers as HAR has them; Chromium joins those of one name by line breaks."""
    return [{"name": name, "value": value} for name, values in headers.items() for value in values.split("\n")]


def _timings(hop: Hop) -> dict[str, float]:
    """Milliseconds, -1 where a step did not happen."""
    timing = hop.answer.get("timing")
    begun = hop.sent["timestamp"]
    found = {"blocked": max(hop.ended - begun, 0) * 1000, "dns": -1, "ssl": -1, "connect": -1, "send": 0, "wait": 0, "receive": 0}
    if timing is not None:
        started = min((at for name in ("dnsStart", "connectStart", "sendStart") if (at := timing[name]) >= 0), default=0)
        looked_up, connected, sent = timing["dnsEnd"], timing["connectEnd"], timing["sendEnd"]
        found |= {
            "blocked": (timing["requestTime"] - begun) * 1000 + started,
            "dns": looked_up - started if looked_up >= 0 else -1,
            "connect": connected - max(looked_up, started) if connected >= 0 else -1,
            "send": max(sent - max(connected, looked_up, started), 0),
            "wait": (hop.received - timing["requestTime"]) * 1000 - sent,
            "receive": max((hop.ended - hop.received) * 1000, 0),
        }
    return {name: round(value, 3) for name, value in found.items()}
