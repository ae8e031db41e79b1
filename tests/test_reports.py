"""Reports: each shows what a run found out, whole, and nothing that a service sent can break out of it."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jsonschema import Draft4Validator, FormatChecker
from reports_sample import CONTROL, CURL, LONG, MARKUP, cause, sample, step
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from contract_tests import results as model
from contract_tests.progress import Progress
from contract_tests.reports import formats, github
from contract_tests.reports.ranking import ranked, together
from contract_tests.reports.sarif import sarif
from contract_tests.reports.terminal import as_text, print_results
from contract_tests.results import Results, Run, from_json, to_json
from contract_tests.source import InputError

ROOT = Path(__file__).parent.parent
EMPTY = Results("gate", "0.1.0", "2026-01-02T03:04:05Z")


def passing() -> Results:
    """A run that found nothing."""
    run = Run("polar", "http://127.0.0.1:8080", "read", "semantic", 1, 10, 0.5, "pass")
    return replace(EMPTY, runs=[run])


def recorded() -> Results:
    """What others sent: hosts, files and complaints are theirs as well."""
    seen = model.TrafficSeen(
        files=["shop.har"],
        exchanges=1234,
        judged=10,
        elsewhere={f"https://{name}.example.com": 200 for name in ("a", "b", "c", "d", "e", "f\x1b")},
        unusable={"unreadable": 2, "cached": 22},
        problems=["shop.har: entry 7: " + MARKUP, "shop.har: entry 8: " + CONTROL],
    )
    run = Run("polar", "https://api.example.com", "traffic", "semantic", None, 10, 0.5, why=["entries that could not be read: 2"])
    return replace(EMPTY, command="check", runs=[run], traffic=seen)


# ---------------------------------------------------------------- what holds for all


@pytest.mark.parametrize("name", formats.FORMATS)
def test_the_same_results_make_the_same_report(name: str) -> None:
    """Nothing but the results goes in: no clock, no order of hashes."""
    made = formats.FORMATS[name](sample())

    assert made == formats.FORMATS[name](from_json(json.loads(json.dumps(to_json(sample())))))


@pytest.mark.parametrize("name", formats.FORMATS)
def test_reports_add_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment, where the secrets are, nor where the machine keeps its files gets into a report."""
    monkeypatch.setenv("WALLETPROOF_API_KEY", "sk-secret-of-this-test")
    monkeypatch.setenv("COLUMNS", "31")
    monkeypatch.setenv("FORCE_COLOR", "1")

    made = formats.FORMATS[name](sample())

    assert "sk-secret-of-this-test" not in made
    assert str(ROOT) not in made
    assert str(Path.home()) not in made
    assert "\x1b" not in made


@pytest.mark.parametrize("name", formats.FORMATS)
@pytest.mark.parametrize(
    "results", [EMPTY, passing(), replace(recorded(), runs=[])], ids=["nothing run", "pass", "nothing judged"]
)
def test_little_is_enough(name: str, results: Results) -> None:
    """Results without runs or causes make a report as well."""
    assert formats.FORMATS[name](results).strip() or name == "github"


@pytest.mark.parametrize("name", ["junit", "html", "github", "text"])
def test_nothing_unprintable_is_shown(name: str) -> None:
    """Control characters and what changes the order of characters appear as escapes."""
    made = formats.FORMATS[name](sample())

    assert not [mark for mark in made + formats.FORMATS[name](recorded()) if not mark.isprintable() and mark not in "\n\t"]
    assert r"escape\x1b[31m" in made


def test_ranking() -> None:
    """Failing, sure, new, money, often: in this order."""
    order = [
        cause("money.a", "a", count=2),
        cause("money.a", "b"),
        cause("auth.a", "a", count=9),
        cause("response.body", "a"),
        cause("contract.a", "a"),
        cause("else.a", "a"),
        cause("money.a", "a", confirmation="unconfirmed"),
        cause("money.a", "a", confirmation="flaky"),
        cause("money.a", "a", fails=False),
        cause("money.a", "a", standing="known", fails=False),
    ]

    assert ranked(reversed(order)) == order


def test_what_one_mistake_made_is_shown_together() -> None:
    """One rule in several places, but of the contract's rules only where they speak of the same member."""
    places = [cause("auth.a", operation) for operation in ("a", "b", "c")]
    bodies = [cause("response.body", "a", pointer) for pointer in ("/items/0/balance", "/balance", "/id")]
    flaky = cause("auth.a", "d", confirmation="flaky")

    assert together([*places, *bodies, flaky]) == [places, [bodies[1], bodies[0]], [bodies[2]], [flaky]]
    shown = as_text(replace(EMPTY, runs=[Run("polar", "u", "own", "semantic", 1, verdict="findings", causes=places)]))
    assert "  1 auth.a a and 2 more places" in shown


# ---------------------------------------------------------------- the terminal


def test_terminal(snapshot: SnapshotAssertion) -> None:
    """What a terminal shows, at 100 columns."""
    assert as_text(sample()) == snapshot
    assert as_text(passing()) == snapshot
    assert as_text(recorded()) == snapshot


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("whys", [0, 1, 9])
@pytest.mark.parametrize("number", [1, 9, 10, 11, 40])
def test_verdict_and_ten_causes_fit_on_a_screen(width: int, whys: int, number: int) -> None:
    """24 lines, the prompt's included."""
    causes = [cause(f"money.real-time-is-balance-less-usage-{n}", f"getWallet{n}", "/x" * n, LONG) for n in range(number)]
    run = Run("flexprice", "http://" + "x" * 99, "own", "semantic", 1, verdict="findings", why=[LONG] * whys, causes=causes)

    lines = as_text(replace(EMPTY, runs=[run]), width).splitlines()

    end = next(index for index, line in enumerate(lines) if line.startswith(("causes ", "why ")))
    assert end <= 23
    assert sum(line.startswith(("  very", "why    very", "       very")) for line in lines) == whys
    assert lines[1].startswith(f"FINDINGS: {number} cause")
    assert sum("money.real-time-is-balance-less-usage" in line for line in lines[:end]) == min(number, 10)
    assert max(map(len, lines[:end])) <= width


def test_terminal_without_unicode() -> None:
    """A console that knows ASCII only gets ASCII only."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, "ascii")

    print_results(Console(file=file, width=100), sample())

    file.flush()
    assert rb"Gr\xfc\xdfe" in raw.getvalue()


def test_colours_only_repeat_the_words() -> None:
    """On a terminal there are colours, and without them it is the same text."""
    out = io.StringIO()

    print_results(Console(file=out, width=100, force_terminal=True, color_system="standard", _environ={}), sample())

    assert "\x1b[" in out.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) == as_text(sample())


# ---------------------------------------------------------------- JUnit


def junit(results: Results) -> ET.Element:
    """The report, parsed."""
    return ET.fromstring(formats.FORMATS["junit"](results))


def test_junit_has_a_suite_per_run_and_a_case_per_rule() -> None:
    """Each rule once, in its area, with its outcome."""
    root = junit(sample())

    first, second = root.findall("testsuite")
    cases = {case.attrib["name"]: case for case in first.findall("testcase")}
    assert first.attrib["name"] == "walletproof.flexprice"
    assert first.attrib["timestamp"] == "2026-01-02T03:04:05"
    assert cases["money.top-up-adds"].attrib["classname"] == "walletproof.flexprice.money"
    assert not list(cases["money.top-up-adds"])
    assert cases["auth.expired-refused"].find("skipped").attrib["message"] == "needs an expired credential"  # type: ignore[union-attr]
    failure = cases["money.balance-is-credits-times-rate"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "getWalletBalance /balance: the balance is not credits times rate"
    assert CURL in (failure.text or "")
    assert "expected: 10.00\ngot: 11.00" in (failure.text or "")
    known = cases["lists.pages-complete"]
    assert known.find("failure") is None
    assert "WALLET-7" in (known.findtext("system-out") or "")
    assert "custom.unlisted" in cases
    assert cases["policy"].find("failure") is not None
    assert cases["evidence"].find("error") is None
    assert [case.attrib["name"] for case in second.findall("testcase[error]")] == ["evidence"]
    properties = {entry.attrib["name"]: entry.attrib["value"] for entry in first.iter("property")}
    assert properties["seed"] == "7"
    assert properties["coverage.operations"] == "10/11"


def test_junit_counts() -> None:
    """The numbers that a pipeline shows are those of the elements."""
    for element in junit(sample()).iter():
        if element.tag in ("testsuite", "testsuites"):
            for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                assert int(element.attrib[name]) == len(list(element.iter(tag)))


@pytest.mark.parametrize("verdict", ["pass", "findings", "inconclusive"])
@pytest.mark.parametrize("reason", ["cause", "policy"])
def test_junit_is_red_as_the_run_is(verdict: model.Verdict, reason: str) -> None:
    """A pipeline that reads the file alone comes to the same verdict."""
    run = replace(passing().runs[0], verdict=verdict)
    if verdict == "findings":
        run.causes, run.policy_notes = ([cause("money.a", "a")], []) if reason == "cause" else ([], ["fails: accepted until"])

    root = junit(replace(EMPTY, runs=[run]))

    assert (root.find(".//failure") is not None) == (verdict == "findings")
    assert (root.find(".//error") is not None) == (verdict == "inconclusive")


# ---------------------------------------------------------------- SARIF


@pytest.mark.parametrize("results", [sample(), EMPTY, passing(), recorded()], ids=["all", "nothing run", "pass", "recorded"])
def test_sarif_fits_its_schema(results: Results) -> None:
    """The schema is the standard's own."""
    schema = json.loads((ROOT / "tests/schemas/sarif-2.1.0.json").read_text("utf-8"))
    log = json.loads(formats.FORMATS["sarif"](results))

    errors = list(Draft4Validator(schema, format_checker=FormatChecker()).iter_errors(log))

    assert not errors
    assert len(log["runs"]) == len(results.runs)


def test_sarif_says_what_counts() -> None:
    """Levels, what is new, what was accepted and why, and that a run without evidence did not succeed."""
    first, second = sarif(sample())["runs"]
    found = {result["ruleId"]: result for result in first["results"]}

    money = found["money.balance-is-credits-times-rate"]
    assert money["level"] == "error"
    assert money["baselineState"] == "new"
    assert money["properties"]["curl"][0] == CURL
    assert money["partialFingerprints"]["walletproof/v1"] == "money.balance-is-credits-times-rate getWalletBalance /balance"
    assert money["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "openapi/flexprice.yaml"
    assert found["state.reads-repeat"]["level"] == "warning"
    known = found["lists.pages-complete"]
    assert (known["level"], known["baselineState"]) == ("note", "unchanged")
    assert known["suppressions"][0]["justification"].startswith("WALLET-7")
    assert "suppressions" not in found["state.update-merges"]
    rules = first["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in first["results"])
    assert first["invocations"][0]["executionSuccessful"] is True
    assert second["invocations"][0]["executionSuccessful"] is False
    notes = second["invocations"][0]["toolExecutionNotifications"]
    assert [note["message"]["text"] for note in notes] == ["the credentials were refused: 401"]
    assert first["automationDetails"] != second["automationDetails"]


# ---------------------------------------------------------------- JSON


def test_json_can_be_read_back() -> None:
    """The very same results, with the odd characters."""
    text = formats.FORMATS["json"](sample())

    assert from_json(json.loads(text)) == sample()
    assert from_json(json.loads(formats.FORMATS["json"](recorded()))) == recorded()
    assert json.loads(text)["exit_code"] == 1
    assert text.encode()


def test_every_member_is_documented() -> None:
    """docs/results.md names all that the JSON report has."""
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/results.md").read_text("utf-8"), re.M))
    kinds = (model.Results, model.Run, model.Cause, model.Step, model.RuleResult, model.Coverage, model.TrafficSeen)

    members = {"verdict", "exit_code", *(field.name for kind in kinds for field in fields(kind))}

    assert members == documented


# ---------------------------------------------------------------- HTML


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_needs_nothing_else() -> None:
    """No element that loads, no address but within the page, and a policy that forbids it all the same."""
    made = formats.FORMATS["html"](sample())
    page = Page(made)

    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    assert all(value.startswith("#") for _, found in page.elements for name, value in found.items() if name == "href" and value)
    assert not [tag for tag, found in page.elements if "src" in found or any(name.startswith("on") for name in found)]
    style = made[made.index("<style>") : made.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policies = [found["content"] or "" for _, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policies[0]


def test_html_is_escaped() -> None:
    """One script, ours; what the service sent is text."""
    made = formats.FORMATS["html"](sample())

    assert [tag for tag, _ in Page(made).elements].count("script") == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)" in made
    assert MARKUP in Page(made).text


# ---------------------------------------------------------------- GitHub


def test_annotations_are_one_line_each() -> None:
    """Commands only, each with its text escaped: nothing of the service's can be a command."""
    made = formats.FORMATS["github"](sample()).splitlines()

    assert all(re.match(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]+$", line) for line in made)
    assert not [line for line in made if re.search(r"%(?!25|0A|0D|3A|2C)", line)]
    assert "::error title=walletproof flexprice%3A policy::" in "\n".join(made)
    assert any("100%25 of a:b,c %250A ::error::x" in line for line in made)


def test_annotations_are_as_many_as_are_shown() -> None:
    """Ten of a kind, and a word about the rest."""
    run = replace(passing().runs[0], verdict="findings")
    run.causes = [cause("money.a", str(n)) for n in range(25)] + [cause("money.b", str(n), fails=False) for n in range(11)]

    made = github.workflow_commands(replace(EMPTY, runs=[run]))

    assert made.count("::error ") == 10
    assert made.count("::warning ") == 10
    assert "and 16 more" in made


def test_summary(snapshot: SnapshotAssertion) -> None:
    """The job summary."""
    made = github.summary_markdown(sample())

    assert made == snapshot
    assert "<script" not in made
    assert all(line.count("|") == 6 for line in made.splitlines() if line.startswith("|"))


# ---------------------------------------------------------------- files


def test_reports_are_written(tmp_path: Path) -> None:
    """Each into its file, folders made, nothing left beside; what was there is replaced."""
    reports = [formats.parse_report(f"{name}={tmp_path}/new/folder/report.{name}") for name in formats.FORMATS]
    reports[0][1].parent.mkdir(parents=True)
    reports[0][1].write_text("old")

    formats.write(sample(), reports)

    assert {path.name for path in reports[0][1].parent.iterdir()} == {f"report.{name}" for name in formats.FORMATS}
    assert from_json(json.loads(reports[0][1].read_text("utf-8"))) == sample()


def test_reports_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Under the name that other tools have for it."""
    formats.write(passing(), [formats.parse_report("json=-"), formats.parse_report("json=/dev/stdout")])

    assert capfd.readouterr().out == formats.FORMATS["json"](passing()) * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pdf=x", "--report pdf=x: no format 'pdf'; there are json, junit, sarif, html, github, text"),
        ("report.json", "no format 'report.json'"),
        ("json", "--report json: say where it goes: json=PATH"),
        ("json=", "say where it goes"),
        ("json= ", "say where it goes"),
        ("json=/", "is a directory"),
        ("", "no format ''"),
    ],
)
def test_mistakes_in_report_options(text: str, message: str) -> None:
    """Said before anything is run."""
    with pytest.raises(InputError, match=re.escape(message)):
        formats.parse_report(text)


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    """The others are written, and the message says which was not and why."""
    (tmp_path / "file").write_text("")
    (tmp_path / "old.json").write_text("kept")
    (tmp_path / "folder.json").mkdir()
    good = tmp_path / "good.json"
    reports = [("json", tmp_path / "file" / "x.json"), ("json", tmp_path / "folder.json"), ("json", Path("a\0b")), ("json", good)]

    with pytest.raises(InputError) as caught:
        formats.write(sample(), reports)

    assert len(str(caught.value).splitlines()) == 3
    assert "x.json: the json report cannot be written" in str(caught.value)
    assert good.exists()


# ---------------------------------------------------------------- progress


def tell(progress: Progress, what: str, cases: int) -> None:
    """One update."""
    progress.update(what, operations=(3, 11), cases=cases, findings=2, left=61.2)


def test_progress_in_a_log() -> None:
    """A line per phase, and one every five seconds."""
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=40)

    with Progress(console, clock=lambda: now[0]) as progress:
        for second in range(12):
            now[0] = float(second)
            tell(progress, "probe [red]a" if second < 11 else "probe b", second)

    assert out.getvalue().splitlines() == [
        f"probe {name}: 3/11 operations, {cases} sent, 2 found, 1:01 left"
        for name, cases in (("[red]a", 0), ("[red]a", 5), ("[red]a", 10), ("b", 11))
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_can_be_quiet(terminal: bool) -> None:
    """Not a byte."""
    out = io.StringIO()

    with Progress(Console(file=out, force_terminal=terminal), quiet=True) as progress:
        tell(progress, "probe", 1)

    assert not out.getvalue()


def test_progress_on_a_terminal() -> None:
    """One line, which is gone at the end."""
    out = io.StringIO()
    console = Console(
        file=out, width=100, force_terminal=True, color_system=None, legacy_windows=False, _environ={"TERM": "xterm"}
    )

    with Progress(console) as progress:
        tell(progress, "probe [x]", 1)

    assert "probe [x]" in out.getvalue()
    assert "3/11 operations, 1 sent, 2 found, 1:01 left" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize("make", formats.FORMATS.values(), ids=formats.FORMATS)
def test_large_results_are_quick(make: Callable[[Results], str]) -> None:
    """A thousand causes do not make anybody wait; what cannot be shown whole is cut, not refused."""
    run = replace(sample().runs[0], causes=[cause("money.a", f"o{n}", f"/{CONTROL}", LONG, steps=[step()]) for n in range(1000)])

    assert make(replace(EMPTY, runs=[run]))
