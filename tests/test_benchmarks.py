"""The benchmark suite says what it measured: ratios, limits, table, plot. Nothing here puts a load on anything."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks is not installed

from benchmarks.speed import plot, results, table, wrk  # noqa: E402
from benchmarks.speed.processes import BenchError, cpu_seconds, free_port, pinned, resident, tree  # noqa: E402
from benchmarks.speed.results import Footprint, Group, Reset, Results, Row, Run, Sessions  # noqa: E402

DOCS = ROOT / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def runs(*rates: float, server: float = 1.0, client: float = 0.2, others: float = 0.01) -> list[Run]:
    """Runs that differ in their rates."""
    return [Run(rate, 1.5, 9.5, server, client, others) for rate in rates]


def canned() -> Results:
    """A small run of everything."""
    beside = {"of <bare>": "bare <&>: read"}
    rows = [
        Row("bare <&>", False, "read", {}, 1, runs(10, 50, 1000)),
        Row("Walletproof", True, "read", beside, 1, runs(10, 100, 1000)),
    ]
    prints = [Footprint("Walletproof", True, [1.5, 1.25, 1.0], 80, 120, 100_000)]
    about = {"machine": "one of two cores"}
    return Results(
        "make bench", about, [Group("Reads", rows)], prints, [Sessions(1000, 0.5, 5.25)], [Reset("log", 1000, [2, 9, 3])]
    )


def render(folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, which measures nothing."""
    line = [sys.executable, "-m", "benchmarks.speed", "--render", "--folder", str(folder)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that is slow for one round slows both sides: the ratio of the medians would be 2 here."""
    (group,) = canned().groups

    assert group.ratios(group.rows[1], "of <bare>") == [1, 2, 1]
    assert group.ratios(group.rows[0], "of <bare>") == []
    assert "| Walletproof | read | 100 | 10 to 1,000 | 1.00 | 1.50 | 9.5 | 100% | 10,000 | the server's core |" in table.page(
        canned(), ""
    )


@pytest.mark.parametrize(
    ("cores", "server", "client", "others", "limit"),
    [
        (1, 0.97, 0.3, 0.0, "the server's core"),
        (1, 0.50, 0.3, 0.0, "waiting"),
        (1, 0.80, 0.97, 0.0, "wrk"),
        (2, 1.60, 0.35, 0.0, "both cores, which wrk shares"),
        (2, 1.00, 0.3, 0.0, "waiting"),
        (1, 0.97, 0.3, 0.5, "other work"),
    ],
)
def test_what_limits_a_row_is_what_had_no_more_to_give(
    cores: int, server: float, client: float, others: float, limit: str
) -> None:
    """A speed that the load generator, a disk or other programs limit is not shown as the server's own."""
    assert table.limit(Row("a", True, "b", {}, cores, runs(1, 2, 3, server=server, client=client, others=others))) == limit


def test_the_page_has_every_figure_and_the_notes() -> None:
    """Start, memory, sessions and resets are medians with their span, and what people wrote stays."""
    page = table.page(canned(), "## What people wrote")

    assert "| Walletproof | 1.25 | 1.00 to 1.50 | 80 | 120 | 100,000 |" in page
    assert "| memory of a session that was changed, mean of 1,000 | 5.2 KiB |" in page
    assert "| reset after 1,000 top-ups, log | 3.0 ms | 2.0 to 9.0 |" in page
    assert page.endswith("## What people wrote")


def test_the_plot_is_a_picture_to_scale() -> None:
    """Bars are as long as their medians, inside the picture, names are escaped, and nothing is fetched from anywhere."""
    text = plot.svg(canned())
    root = ET.fromstring(text)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    bars = [{name: float(bar.attrib[name]) for name in ("x", "y", "width", "height")} for bar in root.iter(f"{SVG}rect")]

    assert bars[1]["width"] == pytest.approx(2 * bars[0]["width"], abs=0.1)
    assert all(bar["x"] + bar["width"] < width and bar["y"] + bar["height"] < height for bar in bars)
    assert all(0 <= float(words.attrib["x"]) < width - 40 for words in root.iter(f"{SVG}text"))
    assert "bare <&>: read" in [words.text for words in root.iter(f"{SVG}text")]
    assert "prefers-color-scheme: dark" in text
    assert text.count("http") == 1, "more than the name of the format"


def test_rendering_reads_what_was_measured(tmp_path: Path) -> None:
    """Figures are kept whole in the file, and page and plot can be made from it again."""
    results.write(canned(), tmp_path / "benchmarks.json")

    assert results.read(tmp_path / "benchmarks.json") == canned()
    result = render(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "## Reads" in (tmp_path / "benchmarks.md").read_text("utf-8")
    assert ET.parse(tmp_path / "benchmarks.svg").getroot().tag == f"{SVG}svg"


def test_figures_of_another_format_are_refused(tmp_path: Path) -> None:
    """A file that is something else is named, not rendered or traced back."""
    file = tmp_path / "benchmarks.json"
    said = f"{file}: not results of this version of the benchmarks; measure again"
    results.write(canned(), file)
    for text in [file.read_text("utf-8").replace('"format": 1', '"format": 0'), '{"format": 1, "groups": 5}', "[]", "no JSON"]:
        file.write_text(text)
        with pytest.raises(ValueError, match=re.escape(said)):
            results.read(file)

    result = render(tmp_path)
    assert (result.returncode, result.stderr) == (2, f"bench: {said}\n")


def test_the_committed_page_and_plot_are_of_the_committed_figures() -> None:
    """A table or plot that was edited by hand, or not rendered after a change, is found."""
    found = results.read(DOCS / "benchmarks.json")
    notes = (ROOT / "benchmarks/notes.md").read_text("utf-8")
    hint = "run `python -m benchmarks.speed --render`"

    assert (DOCS / "benchmarks.md").read_text("utf-8") == table.page(found, notes), hint
    assert (DOCS / "benchmarks.svg").read_text("utf-8") == plot.svg(found), hint


def test_a_load_that_met_errors_has_no_speed() -> None:
    """Refusals are fast: a server that answers them must not win by it."""
    fine = 'Running\nresult {"requests": 9, "seconds": 3.0, "median": 1.0, "p99": 2.0, "refused": 0, "broken": 0}\n'
    assert wrk.said("mock, read", fine)["requests"] == 9
    for text, complaint in [
        (fine.replace('"refused": 0', '"refused": 2'), "2 were answered with an error"),
        (fine.replace('"broken": 0', '"broken": 3'), "3 not at all"),
        (fine.replace('"requests": 9', '"requests": 0'), "of 0 requests"),
        ("unable to connect", "wrk gave no result:\nunable to connect"),
    ]:
        with pytest.raises(BenchError, match=complaint):
            wrk.said("mock, read", text)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """What it wrote before it ended is in the message."""
    with (
        pinned([sys.executable, "-c", "import sys; sys.exit('no such option')"], "0", {}, tmp_path) as process,
        pytest.raises(BenchError, match="ended before it answered; it said:\nno such option"),
    ):
        process.until_answered(f"http://127.0.0.1:{free_port()}/", {})


def test_memory_and_time_of_a_server_are_those_of_all_its_processes(tmp_path: Path) -> None:
    """A server that has its work done by a child is not small and idle, and none of it is left behind."""
    child = "b = bytearray(50_000_000); t = __import__('time'); [None for _ in range(3_000_000)]; print(flush=True); t.sleep(60)"
    program = (
        "import subprocess, sys, http.server as h\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); p.stdout.readline()\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.end_headers()\n"
        "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
    port = free_port()
    with pinned([sys.executable, "-c", program, str(port)], "0", {}, tmp_path) as process:
        process.until_answered(f"http://127.0.0.1:{port}/", {})
        whole = tree([process.pid])
        assert len(whole) == 2
        assert resident([process.pid]) > 50
        assert cpu_seconds([process.pid]) > cpu_seconds(whole[1:]) > 0
    lines = [Path(f"/proc/{pid}/cmdline") for pid in whole]
    assert not any(line.exists() and line.read_bytes() for line in lines), "still running; one that has ended has no command line"
