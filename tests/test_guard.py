"""What a run may do: hosts, writes and amounts; and how times, rates and amounts are written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from contract_tests.contract import Contract
from contract_tests.guard import Forbidden, Guard, Mode, check_host, is_loopback, is_safe
from contract_tests.source import InputError
from walletproof.units import amount, rate, seconds

ROOT = Path(__file__).parent.parent


# ---------------------------------------------------------------- writes


@pytest.mark.parametrize(
    ("mode", "target", "invented", "words"),
    [
        ("read", None, False, "--mode read sends no writes"),
        ("read", "mine", False, "--mode read sends no writes"),
        ("read", "unknown", True, "--mode read sends no writes"),
        ("own", None, False, ""),
        ("own", "mine", False, ""),
        ("own", "theirs", False, "theirs was not created by this run"),
        ("own", "", False, " was not created by this run"),
        ("own", "unknown", True, ""),
        ("all", None, False, ""),
        ("all", "theirs", False, ""),
    ],
)
def test_whose(mode: Mode, target: str | None, invented: bool, words: str) -> None:
    """Each mode with what is the run's own, what is not, and what nobody has; what was refused does not count."""
    guard = Guard(mode)
    guard.own("mine")
    if words:
        with pytest.raises(Forbidden, match=words):
            guard.allow_write(target, Decimal(5), invented=invented)
        assert (guard.writes, guard.amount) == (0, 0)
    else:
        guard.allow_write(target, Decimal(5), invented=invented)
        assert (guard.writes, guard.amount) == (1, 0 if invented else 5)


def test_most_writes() -> None:
    """As many as were allowed, those to nobody among them, and not one more; `all` has no such limit."""
    guard = Guard("own", max_writes=2)
    guard.allow_write(None)
    guard.allow_write("unknown", invented=True)
    for _ in range(2):
        with pytest.raises(Forbidden, match="--max-writes 2 is reached"):
            guard.allow_write(None)
    assert guard.writes == 2
    with pytest.raises(Forbidden, match="--max-writes 0 is reached"):
        Guard("own", max_writes=0).allow_write(None)
    unlimited = Guard("all", max_writes=1, max_amount=Decimal(1))
    for _ in range(3):
        unlimited.allow_write("theirs", Decimal(5))


def test_most_credits() -> None:
    """To the last cent, whatever the sign; a write that would be too much leaves room for a smaller one."""
    guard = Guard("own", max_amount=Decimal("10.00"))
    guard.allow_write(None, Decimal("9.99"))
    with pytest.raises(Forbidden, match=r"--max-amount 10\.00 would be exceeded"):
        guard.allow_write(None, Decimal("-0.02"))
    guard.allow_write("unknown", Decimal(10**9), invented=True)
    guard.allow_write(None, Decimal("-0.01"))
    assert (guard.amount, guard.writes) == (Decimal("10.00"), 3)
    guard.allow_write(None)


def test_threads() -> None:
    """Caps hold when many threads ask at once."""
    guard = Guard("own", max_writes=150, max_amount=Decimal(100))

    def ask(number: int) -> bool:
        guard.own(f"wallet-{number}")
        try:
            guard.allow_write(f"wallet-{number}", Decimal(number % 2))
        except Forbidden:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        allowed = list(pool.map(ask, range(1000)))
    assert sum(allowed) == guard.writes == 150
    assert guard.amount == sum(number % 2 for number, ok in enumerate(allowed) if ok) <= 100
    assert all(guard.owns(f"wallet-{number}") for number in range(1000))


def test_what_only_reads() -> None:
    """The two searches are reads although they are POST; nothing else that is not a GET is."""
    found = {}
    for name in ("flexprice", "polar"):
        overlay = ROOT / "openapi" / f"{name}.overlay.yaml"
        contract = Contract.load(name, ROOT / "openapi" / f"{name}.yaml", overlay)
        found |= {operation.id: operation.method for operation in contract.operations.values() if is_safe(operation)}
    assert {name for name, method in found.items() if method != "GET"} == {"queryWallet", "queryWalletTransaction"}
    assert len(found) == 9


def test_modes() -> None:
    """All modes, from the most careful to the least."""
    assert get_args(Mode) == ("read", "own", "all")


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "http://127.0.0.1:8080/",
        "http://127.9.9.9/v1",
        "https://localhost:8443",
        "HTTP://LOCALHOST",
        "http://team-a.localhost:8080",
        "http://[::1]:8080/v1",
        "https://staging.example.com/v1",
        "https://STAGING.example.com:8443",
        "https://10.0.0.7",
    ],
)
def test_allowed(url: str) -> None:
    """The machine itself under all its names, and hosts that were named, in any case."""
    check_host(url, ["staging.EXAMPLE.com", "10.0.0.7"])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://staging.example.com.",
        "http://staging.example.com.evil.example",
        "http://evil.example/staging.example.com",
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://10.0.0.1",
        "http://0.0.0.0:8080",
        "http://[::]:8080",
        "http://2130706433",
        "http://169.254.169.254/latest",
    ],
)
def test_not_allowed(url: str) -> None:
    """Any other host, by name and by address, is refused with the option that allows it."""
    with pytest.raises(InputError, match="is not this machine: say --allow-host "):
        check_host(url, ["staging.example.com"])


@pytest.mark.parametrize(
    "url",
    [
        *("", "/", "localhost", "localhost:8080", "//localhost", "http:", "http://", "http://:80", "ftp://localhost"),
        *("file:///etc/passwd", "http://localhost:http", "http://localhost:65536", "http://[localhost", "http://localhost:-1"),
        *("http://localhost?x=1", "http://localhost/#top", "http://localhost?", "http://user@localhost", "http://u:p@localhost"),
        *(
            "http://:p@localhost",
            "http://@localhost",
            "http://localhost\\@example.com",
            "http://localhost\t",
            "http://local host",
        ),
        *("http://localhost\r\nX: 1", " http://localhost", "javascript:alert(1)"),
    ],
)
def test_not_a_base_url(url: str) -> None:
    """What cannot be called, or holds what a base URL must not, is refused in words and not with an exception of urllib's."""
    with pytest.raises(InputError):
        check_host(url, ["example.com", "localhost"])


@pytest.mark.parametrize(
    "url",
    ["ftp://me:s3cret@localhost", "http://me:s3cret@localhost:99999", "http://localhost:x?key=s3cret", "x://localhost#s3cret"],
)
def test_no_secret_is_repeated(url: str) -> None:
    """Whatever else is wrong with a URL: a password or a query in it is not printed."""
    with pytest.raises(InputError) as caught:
        check_host(url, [])
    assert "s3cret" not in str(caught.value)


def test_loopback() -> None:
    """Names and addresses of this machine, with and without brackets."""
    assert all(is_loopback(host) for host in ("localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"))
    assert not any(is_loopback(host) for host in ("", "localhost.", "localhosts", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.x"))


# ---------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90.0), ("90s", 90.0), (" 5m ", 300.0), ("1.5h", 5400.0), ("500ms", 0.5), ("0.25s", 0.25), ("168h", 604800.0)],
)
def test_seconds(text: str, value: float) -> None:
    """Every unit, with and without a fraction."""
    assert seconds("--max-time", text) == value


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "0", "0ms", "0.0s", "5 x", "8d", "1e3", "1_000s", ".5s", "5.s", "inf", "nan", "9" * 400, "169h", "٣"]
)
def test_not_seconds(text: str) -> None:
    """What is no time, none at all, or longer than any socket waits: refused with the option's name."""
    with pytest.raises(InputError, match=r"--timeout .*: expected a time"):
        seconds("--timeout", text)


def test_no_settling() -> None:
    """Of all times, only that for which reads may lag can be nothing."""
    assert seconds("--settle", "0s") == 0.0


@pytest.mark.parametrize(("text", "value"), [("20", 20.0), ("20/s", 20.0), ("120/m", 2.0), ("3600/h", 1.0), ("0.5/s", 0.5)])
def test_rate(text: str, value: float) -> None:
    """Requests per second, however they are counted."""
    assert rate(text) == value


@pytest.mark.parametrize("text", ["", "0", "0/s", "-1/s", "5/d", "/s", "5/", "1e3/s", "inf", "9" * 400, "0.000001/h", "5 / s"])
def test_not_a_rate(text: str) -> None:
    """What is no rate, or one that nobody lives to see."""
    with pytest.raises(InputError, match=r"--rate .*: expected a rate"):
        rate(text)


@pytest.mark.parametrize(("text", "value"), [("10000", Decimal(10000)), ("99.50", Decimal("99.50")), ("0", Decimal(0))])
def test_amount(text: str, value: Decimal) -> None:
    """Decimals, exactly."""
    assert amount("--max-amount", text) == value


@pytest.mark.parametrize("text", ["", "-1", "-0.01", "NaN", "Infinity", "-Infinity", "sNaN", "1,5", "ten", "0x10", "$5"])
def test_not_an_amount(text: str) -> None:
    """What is no amount, or less than nothing."""
    with pytest.raises(InputError, match=r"--max-amount .*: expected an amount"):
        amount("--max-amount", text)
