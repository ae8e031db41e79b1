"""How fast recordings are read, and in how much memory: `python benchmarks/recordings.py [MEGABYTES]`.

Makes a HAR file of exchanges like those of a wallet page (two thirds small, one third of 5 kB), plain and gzip'd, and reads it.
"""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contract_tests.traffic.in_order import InOrder
from contract_tests.traffic.reading import read
from contract_tests.traffic.recorded import Recorded

MEGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 300
HEADERS = [{"name": f"x-header-{number}", "value": f"value {number}"} for number in range(8)]


def entry(number: int) -> dict[str, Any]:
    """One exchange; every third has a list of transactions in its answer."""
    items = [{"id": f"wtxn_{number}_{item}", "amount": "12.50", "description": 'a "quoted" text'} for item in range(40)]
    body = json.dumps({"id": f"wallet_{number}", "balance": "12.50", "items": items if number % 3 == 0 else []})
    answer = {"size": len(body), "mimeType": "application/json", "text": body}
    return {
        "startedDateTime": f"2026-11-21T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.069Z",
        "time": 12.5,
        "request": {
            "method": "GET",
            "url": f"https://api.example.com/v1/wallets/wallet_{number}",
            "headers": HEADERS,
            "bodySize": 0,
        },
        "response": {"status": 200, "headers": HEADERS, "content": answer},
    }


def write(path: Path) -> None:
    """The file, of about as many megabytes as were asked for."""
    with path.open("wb") as file:
        file.write(b'{"log":{"version":"1.2","creator":{"name":"benchmark","version":"1"},"entries":[')
        number = 0
        while file.tell() < MEGABYTES * 1_000_000:
            file.write((b",\n" if number else b"\n") + json.dumps(entry(number)).encode())
            number += 1
        file.write(b"]}}")


def measure(what: str, path: Path, *, sort: bool = False) -> None:
    """Read a file, once."""
    began = time.process_time()
    with InOrder() as in_order:
        count = 0
        for count, found in enumerate(read([path]), 1):  # noqa: B007
            assert isinstance(found, Recorded)
            if sort:
                in_order.add(found)
        if sort:
            count = sum(1 for _ in in_order)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = f"{count / seconds:,.0f}/s, {MEGABYTES / seconds:.0f} MB/s"
    print(f"{what:<16} {count:,} exchanges in {seconds:.1f} s of processor time: {speed}; peak {peak:.0f} MiB", flush=True)


with TemporaryDirectory() as folder:
    plain, packed = Path(folder, "plain.har"), Path(folder, "packed.har.gz")
    write(plain)
    with plain.open("rb") as source, gzip.open(packed, "wb", 6) as target:
        shutil.copyfileobj(source, target)
    measure("plain", plain)
    measure("gzip", packed)
    measure("in order of time", plain, sort=True)
