"""The HTML report in a real browser: what is read there is what the results say."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reports_sample import MARKUP, sample

from browser.devtools import chromium
from contract_tests.reports.html import page
from contract_tests.reports.ranking import ranked


def dom(file: Path, *options: str) -> str:
    """The page as the browser has it, after its script ran."""
    profile = file.parent / "profile"
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *options, "--dump-dom"]
    return subprocess.run([*command, file.as_uri()], capture_output=True, check=True, timeout=60).stdout.decode()


class Dom(HTMLParser):
    """The texts of elements by class and by tag, in the order of the page, and how many buttons there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.buttons = 0
        self.hidden_buttons = 0
        self._open: list[tuple[str, list[list[str]]]] = []  # tag, and where its text goes
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "button":
            self.buttons += 1
            self.hidden_buttons += "hidden" in attributes
        if tag not in ("meta", "input"):  # these have no end
            self._open.append((tag, []))
            for name in [tag, *(attributes.get("class") or "").split()]:
                self._open[-1][1].append([name, ""])

    def handle_endtag(self, tag: str) -> None:
        opened, texts = self._open.pop()
        assert opened == tag
        for name, text in texts:
            self.texts.setdefault(name, []).append(text)

    def handle_data(self, data: str) -> None:
        for _, texts in self._open:
            for entry in texts:
                entry[1] += data


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Dom:
    """The sample's page, as shown."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page(sample()), "utf-8")
    return Dom(dom(file))


def test_the_verdict_is_there(shown: Dom) -> None:
    """Verdict and exit code."""
    assert shown.texts["h1"] == ["Findings"]
    assert shown.texts["exit"][0].split() == ["exit", "code", "1"]


def test_all_causes_are_there_in_their_order(shown: Dom) -> None:
    """Each as a group with its rule and its problem; what the service sent is text."""
    causes = ranked(sample().runs[0].causes)

    assert shown.texts["rule"] == [cause.rule for cause in causes]
    assert MARKUP in shown.texts["problem"]
    assert len(shown.texts["script"]) == 1


def test_curl_lines_are_exact(shown: Dom) -> None:
    """What is copied is what the results have, to the last character."""
    steps = [step for cause in ranked(sample().runs[0].causes) for step in cause.steps]

    assert shown.texts["curl"] == [step.curl for step in steps]


def test_the_script_runs_under_the_policy(shown: Dom) -> None:
    """The hash fits: the copy buttons are there."""
    assert shown.buttons
    assert not shown.hidden_buttons


def test_the_page_reads_without_script(tmp_path: Path) -> None:
    """Nothing is missing but the buttons, which would do nothing."""
    made = page(sample())
    file = tmp_path / "report.html"
    file.write_text(re.sub(r"script-src '[^']+'", "script-src 'none'", made), "utf-8")

    shown = Dom(dom(file))

    assert shown.hidden_buttons == shown.buttons > 0
    assert len(shown.texts["cause"]) == 12
