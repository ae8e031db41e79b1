"""The story in docs/five-minutes.md: every command is run as it stands there, and prints what stands below it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import curl_stand_in, running

STORY = Path(__file__).parent.parent / "docs" / "five-minutes.md"


@pytest.mark.parametrize("own_curl", [False, True], ids=["curl", "stand-in"])
def test_the_story_is_true(tmp_path: Path, own_curl: bool) -> None:
    """From the first balance to the reset, with nothing but curl; or, where there is none, with what stands in for it."""
    text = STORY.read_text("utf-8")
    start = re.search(r'make mock ARGS="([^"]*)"', text)
    assert start
    steps = re.findall(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.DOTALL)
    assert len(steps) >= 8
    (tmp_path / "bin").mkdir()
    steps = steps[:3] if own_curl else steps
    environment = curl_stand_in(tmp_path / "bin") if own_curl or not shutil.which("curl") else dict(os.environ)
    with running(*start[1].split()) as mock:
        for commands, expected in steps:
            script = commands.replace("http://127.0.0.1:8080", mock.url)
            done = subprocess.run(
                ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env=environment
            )
            assert (done.stdout, done.stderr) == (expected, ""), commands
    if own_curl:
        return
    with running(str(tmp_path / "story.json"), command="replay") as again:
        replayed = subprocess.run(
            ["sh", "-c", steps[0][0].replace("http://127.0.0.1:8080", again.url)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )

    assert replayed.stdout == '"credit_balance":"0"\n"alert_state":"in_alarm"\n', "the file is as it was before the reset"
