"""`walletproof check`: what is wrong in a recording is found, and a recording that is broken itself is told apart from that.

The recording is one of a real browser (`tests/browser`); `violations` says what is put into it.
"""

from __future__ import annotations

import base64
import gzip
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import violations
from violations import VIOLATIONS, Har, Violation

from walletproof.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's, on every use of allowEmptyValue

Entry = dict[str, Any]
OWN = "http://127.0.0.1:8080"


class Checked(NamedTuple):
    """What a check ended with. `report` is empty if none was written."""

    code: int
    report: dict[str, Any]
    said: str

    @property
    def causes(self) -> set[tuple[str, ...]]:
        """What was found, as `violations` has it."""
        fields = violations.Cause._fields
        return {violations.Cause(*(cause[name] for name in fields)) for run in self.report["runs"] for cause in run["causes"]}

    @property
    def traffic(self) -> dict[str, Any]:
        """What was read, and what became of it."""
        found: dict[str, Any] = self.report["traffic"]
        return found


Check = Callable[..., Checked]


def test_a_full_disk_is_no_verdict(tmp_path: Path) -> None:
    """Where the results cannot be shown, the exit code says neither pass nor findings; no traceback."""
    command = [sys.executable, "-m", "walletproof", "check", str(violations.RECORDING), "--quiet"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert (done.returncode, done.stderr) == (
        2,
        "walletproof: standard output or a temporary file cannot be written: No space left on device\n",
    )


def test_no_room_to_sort(tmp_path: Path) -> None:
    """A temporary file that cannot grow is said to be that, with what to do; nothing of it is a verdict."""
    har = json.loads(violations.RECORDING.read_text("utf-8"))
    judged = next(entry for entry in har["log"]["entries"] if entry["request"]["url"].endswith("/balance/real-time"))
    har["log"]["entries"] = [judged] * 2000
    file = tmp_path / "large.har"
    file.write_text(json.dumps(har), "utf-8")

    command = f'ulimit -f 200; exec "{sys.executable}" -m walletproof check "{file}" --quiet'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("walletproof: no room to sort the recordings in a temporary file: ")
    assert "SQLITE_TMPDIR" in done.stderr


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command on a recording: a HAR, its bytes, or a path."""

    def run(recording: Har | bytes | Path, *options: str, name: str = "shop.har") -> Checked:
        file = recording if isinstance(recording, Path) else tmp_path / name
        if isinstance(recording, bytes):
            file.write_bytes(recording)
        elif not isinstance(recording, Path):
            file.write_text(json.dumps(recording), "utf-8")
        report = tmp_path / "report.json"
        code = main(["check", str(file), "--report", f"json={report}", "--quiet", *options])
        said = "".join(capsys.readouterr())
        assert "Traceback" not in said
        return Checked(code, json.loads(report.read_text("utf-8")) if report.exists() else {}, said)

    return run


@pytest.fixture(scope="module")
def har() -> Har:
    """The recording without violations."""
    return violations.recording()


def own(har: Har) -> list[Entry]:
    """What went to the mock."""
    return [entry for entry in har["log"]["entries"] if entry["request"]["url"].startswith(OWN)]


def judged(har: Har) -> int:
    """How many of those are for `check`: not preflights, a redirect, a path that no contract has, and what was cancelled."""
    return sum(entry["request"]["method"] != "OPTIONS" for entry in own(har)) - 3


# ---------------------------------------------------------------- what is wrong in a recording


def test_an_honest_recording_is_clean(har: Har, check: Check) -> None:
    """No finding; what is of other hosts, of no contract, or without an answer, is counted and left alone."""
    done = check(har)

    assert (done.code, done.causes) == (0, set()), done.said
    assert [run["provider"] for run in done.report["runs"]] == ["flexprice", "polar"]
    assert done.traffic["exchanges"] == len(har["log"]["entries"])
    assert done.traffic["unusable"] == {"unanswered": 2, "cached": 1}  # cancelled, and to a port that browsers refuse
    assert done.traffic["elsewhere"] == {
        OWN: len(own(har)) - judged(har) - 1,  # preflights, the redirect to the slash, a path that no contract has
        "http://localhost:5173": 6,
        "http://127.0.0.1:5173": 2,
    }
    assert done.traffic["judged"] == judged(har)


def test_twenty_violations_are_twenty_findings(har: Har, check: Check) -> None:
    """Exactly those that were put in."""
    done = check(violations.violated(har, *VIOLATIONS))

    assert done.causes == {violation.cause for violation in VIOLATIONS}
    assert len(VIOLATIONS) == len(done.causes) == 20
    assert done.code == 1


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: violation.name)
def test_each_violation_alone_is_one_finding(har: Har, check: Check, violation: Violation) -> None:
    """With its rule, its operation, its place and its level."""
    done = check(violations.violated(har, violation))

    assert (done.code, done.causes) == (1, {violation.cause}), done.said


def test_a_finding_shows_the_amount_that_is_wrong(har: Har, check: Check) -> None:
    """However odd it is written, and where it stands; what people wrote is replaced."""
    odd = next(violation for violation in VIOLATIONS if violation.name == "a_decimal_with_an_exponent")

    done = check(violations.violated(har, odd))
    (cause,) = done.report["runs"][0]["causes"]

    assert cause["got"] == "7e1"
    assert '"credit_balance":"7e1"' in cause["steps"][0]["response_body"]
    assert "Reisen" not in json.dumps(cause)
    number = har["log"]["entries"].index(violations.entry(har, violations.BY_AMOUNT)) + 1
    assert cause["probe"].endswith(f"shop.har: entry {number}")
    assert f"    shop.har: entry {number}: " in done.said


def test_a_level_leaves_out_what_is_milder(har: Har, check: Check) -> None:
    """Findings beyond the level are told and fail nothing."""
    milder = next(violation for violation in VIOLATIONS if violation.cause.level == "semantic")

    assert check(violations.violated(har, milder), "--level", "overlay").code == 0


def test_a_server_can_be_named(har: Har, check: Check) -> None:
    """Then all other hosts are left alone, whatever their paths are."""
    named = check(har, "--server", f"{OWN}/v1")
    other = check(har, "--server", "https://api.example.com/v1")

    assert (named.code, named.traffic["judged"] > 0) == (0, True)
    assert (other.code, other.traffic["judged"]) == (3, 0)
    assert "nothing to judge" in other.said


# ---------------------------------------------------------------- what is no recording


@pytest.mark.parametrize(
    ("content", "clue"),
    [
        (b"", "empty"),
        (b"<!doctype html><html><body>Sign in</body></html>", "HTML"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "PNG"),
        (b'{"openapi": "3.1.0", "paths": {}}', "openapi"),
        (b'{"log": {"version": "1.2"}}', "entries"),
        (b'{"log": {"entries": {"0": {}}}}', "entries"),
        (b"interactions:\n- request:\n    uri: http://a/\n", "HAR"),
        (b"\x1f\x8b\x08\x00 this is no gzip", "gzip"),
        (b"\xff\xfe\x00\x00", "HAR"),
    ],
    ids=["empty", "html", "png", "other json", "no entries", "entries not a list", "yaml", "broken gzip", "only a mark"],
)
def test_what_is_no_recording_is_refused(check: Check, content: bytes, clue: str) -> None:
    """A usage error that names the file and says what it is not."""
    done = check(content)

    assert (done.code, done.report) == (2, {}), done.said
    assert "shop.har" in done.said
    assert clue.lower() in done.said.lower()


def test_files_that_cannot_be_read_are_named(check: Check, tmp_path: Path) -> None:
    """One that is not there, and a folder."""
    missing, folder = check(tmp_path / "nowhere.har"), check(tmp_path)

    assert (missing.code, "nowhere.har" in missing.said) == (2, True)
    assert (folder.code, str(tmp_path) in folder.said) == (2, True)
    assert missing.said != folder.said


# ---------------------------------------------------------------- what is broken in one


def with_more(har: Har, edits: dict[str, Callable[[Entry], None]]) -> Har:
    """The recording, and the last answer of a closed wallet again for each edit."""
    entries = list(har["log"]["entries"])
    for edit in edits.values():
        entries.append(deepcopy(violations.entry(har, violations.CLOSED)))
        edit(entries[-1])
    return {"log": {**har["log"], "entries": entries}}


def _without(*names: str) -> Callable[[Entry], None]:
    def edit(entry: Entry) -> None:
        *path, last = names
        for name in path:
            entry = entry[name]
        del entry[last]

    return edit


def _with(value: Any, *names: str) -> Callable[[Entry], None]:
    def edit(entry: Entry) -> None:
        *path, last = names
        for name in path:
            entry = entry[name]
        entry[last] = value

    return edit


BROKEN = {
    "no request": _without("request"),
    "no method": _without("request", "method"),
    "no url": _without("request", "url"),
    "a text for a status": _with("OK", "response", "status"),
    "a fraction of a status": _with(200.5, "response", "status"),
    "no such status": _with(70_000, "response", "status"),
    "a negative status": _with(-200, "response", "status"),
    "a list for a request": _with([], "request"),
    "headers of another kind": _with("x-api-key: k", "request", "headers"),
    "no url at all": _with("http://[::1", "request", "url"),
    "half an address": _with("/v1/wallets", "request", "url"),
    "a port too many": _with("http://127.0.0.1:808080/v1/wallets", "request", "url"),
    "yesterday": _with("yesterday", "startedDateTime"),
    "the thirteenth month": _with("2026-13-01T00:00:00Z", "startedDateTime"),
    "base64 that is none": _with(
        {"size": 3, "mimeType": "application/json", "text": "{!}", "encoding": "base64"}, "response", "content"
    ),
    "an encoding that nobody has": _with({"size": 3, "text": "e30=", "encoding": "base91"}, "response", "content"),
}


def test_broken_entries_are_named_and_the_rest_is_judged(har: Har, check: Check) -> None:
    """A message for each has file, entry and reason; a recording that could not be read whole is no pass."""
    done = check(with_more(har, BROKEN))

    first = len(har["log"]["entries"]) + 1
    places = [problem.rpartition("shop.har: ")[2].partition(": ")[0] for problem in done.traffic["problems"]]
    assert dict(zip(places, BROKEN, strict=True)) == {f"entry {first + index}": kind for index, kind in enumerate(BROKEN)}
    assert all(problem.partition("shop.har: ")[2].partition(": ")[2] for problem in done.traffic["problems"])
    assert (done.traffic["unusable"]["unreadable"], done.traffic["judged"]) == (len(BROKEN), judged(har))
    assert f"entry {first}: " in done.said
    assert (done.code, done.causes) == (3, set())


def in_berlin(time: str) -> str:
    """The same time as other recorders write it."""
    return datetime.fromisoformat(time).astimezone(timezone(timedelta(hours=1))).strftime("%Y-%m-%dT%H:%M:%S.%f0%z")


HARMLESS = {
    "a negative duration": _with(-5, "time"),
    "no duration": _without("time"),
    "no timings": _without("timings"),
    "no time": _without("startedDateTime"),
    "an offset": lambda entry: entry.update(startedDateTime=in_berlin(entry["startedDateTime"])),
    "no size": _without("response", "content", "size"),
    "no cookies": _without("request", "cookies"),
    "a version that is empty": _with("", "request", "httpVersion"),
    "headers of HTTP/2": _with(
        [{"name": ":authority", "value": "127.0.0.1:8080"}, {"name": "X-API-Key", "value": "sk_shop_2c9a61f07d"}],
        "request",
        "headers",
    ),
    "a fragment": lambda entry: entry["request"].update(url=entry["request"]["url"] + "#top"),
    "no response": _without("response"),
    "no status": _without("response", "status"),
    "no body": _without("response", "content", "text"),
    "half a body": _with({"size": 900, "mimeType": "application/json", "text": '{"id": "wal'}, "response", "content"),
}


def test_what_is_odd_but_clear_is_judged(har: Har, check: Check) -> None:
    """What recorders leave out or write in their own way is no finding and no error; without a status there was no answer."""
    done = check(with_more(har, HARMLESS))

    assert (done.code, done.causes, done.traffic["problems"]) == (0, set(), []), done.said
    assert done.traffic["unusable"] == {"unanswered": 4, "cached": 1}
    assert done.traffic["judged"] == judged(har) + len(HARMLESS) - 2


def test_a_body_in_base64_is_judged(har: Har, check: Check) -> None:
    """As what it says."""

    def edit(entry: Entry) -> None:
        content = entry["response"]["content"]
        wrong = content["text"].replace('"alert_state":"ok"', '"alert_state":"well"')
        content |= {"text": base64.b64encode(wrong.encode()).decode(), "encoding": "base64"}

    done = check(with_more(har, {"wrong": edit}))

    assert done.causes == {("response.body", "getWallet", "/alert_state", "published")}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_recordings_in_other_encodings_are_read(har: Har, check: Check, encoding: str) -> None:
    """With a mark at their beginning, as some tools of Windows write them."""
    done = check(json.dumps(har, ensure_ascii=False).encode(encoding))

    assert (done.code, done.traffic["exchanges"]) == (0, len(har["log"]["entries"])), done.said


def test_bytes_that_are_no_utf_8_are_named(har: Har, check: Check) -> None:
    """In the entry that has them, the others are judged."""
    text = json.dumps(har, ensure_ascii=False).encode()

    done = check(text.replace("Zürich".encode(), b"Z\xfcrich", 1))

    assert done.code in (0, 3)
    assert done.causes == set()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_recording_that_was_cut_off_is_judged_so_far(har: Har, check: Check, share: float) -> None:
    """One message says where it ends."""
    text = json.dumps(violations.violated(har, VIOLATIONS[0])).encode()

    done = check(text[: int(len(text) * share)])

    assert done.traffic["unusable"]["unreadable"] == 1
    (problem,) = done.traffic["problems"]
    assert "shop.har" in problem
    assert done.traffic["exchanges"] >= len(har["log"]["entries"]) * share * 0.5
    assert done.code == (1 if done.causes else 3)


def test_a_recording_in_gzip_is_read(har: Har, check: Check) -> None:
    """Known by its first bytes; one that was cut off is judged so far."""
    packed = gzip.compress(json.dumps(har).encode())

    assert check(packed).traffic["exchanges"] == len(har["log"]["entries"])
    cut = check(packed[: len(packed) // 2])
    assert (cut.code, cut.traffic["unusable"]["unreadable"]) == (3, 1)


def test_ten_thousand_redirects_are_ten_thousand_exchanges(har: Har, check: Check) -> None:
    """Each stands alone; nothing is followed, nothing grows with them."""
    redirect = deepcopy(next(entry for entry in har["log"]["entries"] if entry["response"]["status"] == 307))
    for message in (redirect["request"], redirect["response"]):
        message["headers"] = message["headers"][:2]
    elsewhere = deepcopy(redirect)
    elsewhere["request"]["url"] = elsewhere["response"]["redirectURL"] = "https://login.example.com/?again"

    done = check({"log": {**har["log"], "entries": [*har["log"]["entries"], *[redirect, elsewhere] * 5_000]}})

    assert (done.code, done.causes) == (0, set())
    assert done.traffic["elsewhere"]["https://login.example.com"] == 5_000


def test_what_is_nested_too_deeply_is_named(har: Har, check: Check) -> None:
    """In an entry's own members, and in a body."""
    deep = "[" * 200_000 + "]" * 200_000
    member, body = _with("DEEP", "comment"), _with(deep, "response", "content", "text")
    text = json.dumps(with_more(har, {"member": member, "body": body})).replace('"DEEP"', deep)

    done = check(text.encode())

    assert (done.code, done.traffic["unusable"]["unreadable"]) == (1, 1)
    assert {cause[1:] for cause in done.causes} == {("getWallet", "", "published"), ("getWallet", "", "semantic")}


ODD = [None, [], {}, "1e999999999", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", -1, "\ud800", True, 10**400]


def members(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """The way to every member of a body."""
    if path:
        yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from members(item, *path, name)


def test_whatever_an_answer_says_it_is_judged(har: Har, check: Check) -> None:
    """Each member of some bodies in turn is something that no rule expects there."""
    entries = list(har["log"]["entries"])
    for where in (violations.GIFT, violations.FIRST_ROWS, violations.SECOND_BALANCE, violations.POLAR_FIRST_PAGE):
        plain = violations.entry(har, where)
        body = json.loads(plain["response"]["content"]["text"])
        for number, path in enumerate(members(body)):
            changed = deepcopy(body)
            _with(ODD[number % len(ODD)], *path)(changed)
            content = {"mimeType": "application/json", "text": json.dumps(changed)}
            entries.append({**plain, "response": {**plain["response"], "content": content}})

    done = check({"log": {**har["log"], "entries": entries}})

    assert done.traffic["judged"] == judged(har) + len(entries) - len(har["log"]["entries"])
    assert done.code == 1


@pytest.mark.parametrize(
    ("where", "pointer", "value"),
    [
        (violations.GIFT, ("wallet_transaction", "amount"), "1e999999999"),
        (violations.GIFT, ("wallet_transaction", "transaction_reason"), []),
        (violations.FIRST_ROWS, ("items", 0, "id"), []),
        (violations.GIFT, ("wallet", "updated_at"), "9999-12-31T23:59:59Z"),
    ],
    ids=["too large to add", "a list for a word", "a list for an id", "the last year"],
)
def test_what_cannot_be_reckoned_with_is_judged(
    har: Har, check: Check, where: violations.Where, pointer: tuple[Any, ...], value: Any
) -> None:
    """Numbers and times at which arithmetic ends, and what is no key of a table."""
    har = deepcopy(har)
    with violations.answer(har, where) as body:
        _with(value, *pointer)(body)

    assert check(har).traffic["judged"] == judged(har)


def test_no_message_steers_a_terminal(har: Har, check: Check) -> None:
    """What a recording holds is shown as text: no escape sequence of it reaches the terminal."""
    escape = "\x1b]0;owned\x07\x1b[2J\u202e"
    found = violations.violated(har, *VIOLATIONS)
    violations.entry(found, violations.CREATED)["startedDateTime"] = escape
    violations.entry(found, violations.SEARCHED)["request"]["method"] = escape
    violations.entry(found, violations.LATE)["request"]["url"] += f"?{escape}={escape}"
    with violations.sent(found, violations.CHANGED) as body:
        body["metadata"] = {escape: 3}
    with violations.answer(found, violations.GIFT) as body:
        body["wallet"]["wallet_status"] = escape

    done = check(found)

    assert done.code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(done.said)


def test_a_zip_bomb_ends_in_a_message(tmp_path: Path) -> None:
    """256 MiB in 256 KiB: refused or stopped, in little memory and time."""
    bomb = tmp_path / "bomb.har"
    first, more = b'{"log": {"entries": [', gzip.compress(b" " * (16 << 20))
    bomb.write_bytes(gzip.compress(first) + more * 16)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

    command = [sys.executable, "-m", "walletproof", "check", str(bomb), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=small)

    assert done.returncode in (2, 3), done.stderr
    assert "bomb.har" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
