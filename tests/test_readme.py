"""The README is true: its tables come from the fixtures, its commands and programs run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Mock, paste, running

from mock_server.defects.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def here(text: str, mock: Mock) -> str:
    """A block with the running mock's address and token."""
    token = str(mock.personas()["polar/ada.main"]["token"])
    return text.replace("http://127.0.0.1:8080", mock.url).replace("TOKEN_OF_ADA", token)


def test_tables_come_from_the_fixtures() -> None:
    """A persona added, renamed or described anew must be so in the README as well."""
    result = subprocess.run([sys.executable, ROOT / "tools/readme_tables.py", "--check"], check=False)
    assert result.returncode == 0, "README.md is out of date: run `make docs`"


def test_python_examples_run(mock: Mock) -> None:
    """Both SDK examples work against the mock, and print what their comments promise."""
    programs = blocks("python")
    assert len(programs) == 2
    for program in programs:
        result = subprocess.run([sys.executable, "-c", here(program, mock)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        for promised in re.findall(r"print\(.*\)  # (.+)", program):
            assert promised in result.stdout
        assert result.stdout.strip()


def test_curl_examples_run() -> None:
    """Every curl line works when pasted, one after the other; what asks for an error gets it."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl")]
    assert len(lines) == 8
    with running() as own:
        for line in lines:
            if "code=503" in line:
                with pytest.raises(subprocess.CalledProcessError):
                    paste(here(line, own))
            else:
                paste(here(line, own))


def test_make_targets_exist() -> None:
    """Every `make TARGET` that the documents speak of is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_number_of_defects() -> None:
    """The README says how many defects there are."""
    assert set(re.findall(r"(\d+) defects", README)) == {str(len(CATALOGUE))}


def test_every_control_is_in_a_guide() -> None:
    """The guides name each control by its path, or by the end of it, and none that there is not."""
    paths = yaml.safe_load((ROOT / "openapi" / "control.yaml").read_text(encoding="utf-8"))["paths"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    named = re.findall(r"`(?:[A-Z]+ )?(/_mock|\.\.\.)(/[^\s`]+)`", text)
    ends = {end if begin == "..." else begin + end for begin, end in named} - {"/_mock/sessions/{session}/polar"}

    assert [end for end in ends if not any(path.endswith(end) for path in paths)] == []
    assert [path for path in paths if not path.endswith(tuple(ends))] == []
