"""Input that nobody sends on purpose: any answer will do, if it is one."""

from __future__ import annotations

from contract_tests.probes.polar.asking import Query, ask, nobodys, read
from contract_tests.probes.probe import Stage, probe
from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_reading import GET, LIST
from contract_tests.rules.shared import ODD_INPUT_SURVIVED

_BOUNDARIES = (1, -1, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**18, 10**30, 10**300)

_TEXTS = (
    "a" * 2000,
    "9" * 2000,
    "-" * 2000,
    "ünïcødé ☃ 💶",
    "٣",  # a digit, but not an ASCII one
    "\u202etxet",  # right to left
    "a\0b",
    "a\nb\r\nc",
    "\x01\x1b[31m\x7f",
    "\ud800",  # half a character
    "%",
    "%00",
    "%zz%",
    "' OR '1'='1' --",
    '"><script>alert(1)</script>',
    "{{7*7}}${7*7}",
    "[]",
    '{"a": 1}',
    "NaN",
    "Infinity",
    "1e400",
    "1_0",
    "+1",
    "01.0",
)

# No slash and no dots alone: those are other paths. No line ends: routers disagree about those. No NUL, no half characters:
# proxies refuse them before the service does.
_ID_TEXTS = tuple(text for text in _TEXTS if not set(text) & set("/\n\0\ud800"))

_LONG_QUERY: tuple[Query, ...] = (
    [(f"unknown{number}", "x" * 20) for number in range(100)],
    [("sorting", "balance")] * 200,
    [("sorting", "foo")] * 200,
    [("page", "1")] * 300,
    [("x" * 2000, "y" * 1000)],
    [("", ""), ("=", "&"), ("\0", "\0"), ("[]", "[]"), ("page[]", "1"), ("limit.gt", "1"), ("💶", "💶")],
)


@probe("polar", ODD_INPUT_SURVIVED)
def odd_numbers(stage: Stage) -> None:
    """Where numbers end, on both sides."""
    for name in ("page", "limit"):
        for value in _BOUNDARIES:
            _judge(stage, f"{name}={value:.3g}" if abs(value) > 10**20 else f"{name}={value}", ask(stage, [(name, value)]))
    _judge(stage, "a huge page of a huge limit", ask(stage, [("page", 10**18), ("limit", 10**18)]))


@probe("polar", ODD_INPUT_SURVIVED)
def odd_texts(stage: Stage) -> None:
    """In every parameter of the list."""
    for name in ("page", "limit", "sorting"):
        for text in _TEXTS:
            _judge(stage, f"{name} is an odd text", ask(stage, [(name, text)]))


@probe("polar", ODD_INPUT_SURVIVED)
def odd_ids(stage: Stage) -> None:
    """In the path."""
    nobody = nobodys(stage.random)
    for text in (*_ID_TEXTS, f"{nobody} ", nobody * 40, f"{{{nobody}", f"urn:uuid:urn:uuid:{nobody}"):
        _judge(stage, "an odd id", read(stage, text))


@probe("polar", ODD_INPUT_SURVIVED)
def odd_requests(stage: Stage) -> None:
    """Long queries, repeated and unknown parameters, and reading with a body."""
    for query in _LONG_QUERY:
        _judge(stage, "an odd query", ask(stage, query))
    for raw in (b'{"page": 0}', b"\0\xff not JSON", b"x" * 10_000):
        for operation, wallet_id in ((LIST, ""), (GET, nobodys(stage.random))):
            _judge(stage, "reading with a body", stage.call(operation, wallet_id, raw=raw))


def _judge(stage: Stage, what: str, seen: Observation) -> None:
    """Anything below 500; 503 says that the server knows it cannot answer."""
    holds = seen.status < 500 or seen.status == 503
    stage.judge(ODD_INPUT_SURVIVED, holds, f"{what} made the server fail", seen, expected="below 500", got=seen.status)
