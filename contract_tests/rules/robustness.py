"""Rules that hold for every request: the server stays up, answers in time, and sends whole answers."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.rules.observation import Observation
from contract_tests.rules.rule import Problem, Rule, exchange_rule

ANSWERS_IN_TIME = Rule(
    "robustness.answers-in-time",
    "No request hangs: the whole answer is there within the time limit (10 s unless --timeout says otherwise).",
    "HTTP clients give up; a wallet that hangs is a wallet that is down",
    "every request",
)

WHOLE_ANSWERS = Rule(
    "robustness.whole-answers",
    "An answer is as long as it says, and the connection lasts until it is whole.",
    "RFC 9112 section 8",
    "every request",
)

BOUNDED_ANSWERS = Rule(
    "robustness.bounded-answers",
    "No answer is larger than 10 MiB.",
    "lists have a limit in both documents; nothing else has a size",
    "every request",
)

PLAIN_HTTP = Rule(
    "robustness.plain-http",
    "Every answer is HTTP that a client can read.",
    "RFC 9112",
    "every request",
)

TROUBLE_RULES = {
    "timeout": ANSWERS_IN_TIME,
    "incomplete": WHOLE_ANSWERS,
    "too large": BOUNDED_ANSWERS,
    "protocol": PLAIN_HTTP,
}
"""Which promise is broken when no whole answer came, by the trouble's kind."""

NO_SERVER_ERROR = Rule(
    "robustness.no-server-error",
    "No request makes the server fail: the answer is never 500, 501, 502 or 504.",
    "both documents keep 500 for faults of the service; Polar invariant 9; Flexprice deviations D4 and D19 are such faults",
    "every request",
    "503 says that the server knows it cannot answer now",
)


@exchange_rule(NO_SERVER_ERROR)
def no_server_error(seen: Observation) -> Iterator[Problem | None]:
    """Any 5xx but 503."""
    if seen.status >= 500 and seen.status != 503:
        kind = "a request that keeps the contract" if seen.sent_valid else "a request"
        yield Problem(f"{kind} made the server fail", "", "a 2xx or a 4xx", seen.status)
    else:
        yield None
