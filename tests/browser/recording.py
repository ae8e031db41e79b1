"""A recording of the page `shop/` against a mock: `PYTHONPATH=tests python -m browser.recording FILE` writes it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from conftest import Mock, running

from browser.devtools import browser, record
from browser.shop_server import shop

MOCK_PORT, SHOP_PORT = 8080, 5173  # what people have; the tests take free ones


def recorded(mock: Mock, folder: Path, port: int = 0) -> dict[str, Any]:
    """What the browser's network panel exports after the page has told its story. `folder` is for the browser's files."""
    personas = mock.personas()
    settings = {
        "mock": mock.url,
        "key": "sk_shop_2c9a61f07d",
        "customer": personas["flexprice/healthy"]["ids"]["external_customer"],  # type: ignore[index]
        "token": personas["polar/ada.main"]["token"],
        "lapsed": personas["polar/lapsed.main"]["token"],
        "wallet": personas["polar/ada.main"]["ids"]["wallet"],  # type: ignore[index]
    }
    with shop(settings, port) as url, browser(folder / "profile") as browsing:
        return record(browsing, url, "window.story")


def written(har: dict[str, Any]) -> str:
    """A HAR as text with a line for each entry, so that a difference shows where it is."""
    log = har["log"]
    head = json.dumps({name: value for name, value in log.items() if name != "entries"}, ensure_ascii=False)
    entries = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in log["entries"])
    return f'{{"log": {head.removesuffix("}")}, "entries": [\n{entries}\n]}}}}\n'


def main() -> None:
    """Write the recording that the other tests read."""
    with running("--port", str(MOCK_PORT)) as mock, tempfile.TemporaryDirectory() as folder:
        Path(sys.argv[1]).write_text(written(recorded(mock, Path(folder), SHOP_PORT)), "utf-8")


if __name__ == "__main__":
    main()
