"""From findings to causes: grouped by what is behind them, with everything that a report shows of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from contract_tests.curl import curl, hidden_headers, url_of
from contract_tests.finding import Finding
from contract_tests.identity import hide
from contract_tests.probes.probe import Found, Sent
from contract_tests.results import Cause, Step

_LONGEST = 4000
_MOST_STEPS = 12


def fingerprint(finding: Finding) -> str:
    """The same for findings with one cause, from run to run: rule, operation and place, without numbers and ids."""
    place = re.sub(r"/\d+(?=/|$)", "/*", finding.pointer)
    return f"{finding.rule} {finding.operation or '-'} {place or '-'}"


def causes(found: Sequence[Found], base: str, secrets: Iterable[str]) -> dict[str, Cause]:
    """Causes by fingerprint, in the order in which they were found."""
    hidden = tuple(secrets)
    result: dict[str, Cause] = {}
    for entry in found:
        key = fingerprint(entry.finding)
        if key in result:
            result[key].count += 1
        else:
            result[key] = cause(entry, base, hidden)
    return result


def cause(entry: Found, base: str, secrets: Iterable[str]) -> Cause:
    """What a report shows of the first finding of a cause."""
    finding, secrets = entry.finding, tuple(secrets)
    return Cause(
        fingerprint=fingerprint(finding),
        rule=finding.rule,
        area=finding.rule.partition(".")[0],
        level=finding.level,
        operation=finding.operation,
        pointer=hide(finding.pointer, secrets),
        problem=hide(finding.problem, secrets)[:500],
        expected=_text(finding.expected, secrets),
        got=_text(finding.got, secrets),
        probe=entry.probe,
        steps=[step(sent, base, secrets) for sent in entry.sent[-_MOST_STEPS:]],
        first_request=entry.request_number,
        first_seconds=round(entry.seconds, 3),
    )


def step(sent: Sent, base: str, secrets: Iterable[str]) -> Step:
    """One exchange as reports show it."""
    request, response = sent.observation.request, sent.observation.response
    hidden = tuple(secrets)
    return Step(
        identity=sent.identity.name,
        method=request.method,
        url=hide(url_of(base, request), hidden),
        curl=curl(base, request, sent.identity, hidden),
        request_headers={name: hide(value, hidden) for name, value in hidden_headers(request, sent.identity).items()},
        request_body=_shown(request.body, hidden),
        status=response.status or None,
        response_headers={name.decode("latin-1"): hide(value.decode("latin-1"), hidden) for name, value in response.headers},
        response_body=_shown(response.body, hidden),
        trouble=hide(sent.trouble, hidden),
    )


def _shown(body: bytes, secrets: tuple[str, ...]) -> str:
    text = hide(body[: _LONGEST * 2].decode("utf-8", "replace"), secrets)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(body)} bytes)"


def _text(value: Any, secrets: tuple[str, ...]) -> str:
    if value is None:
        return ""
    text = hide(str(value), secrets)
    return text if len(text) <= 500 else text[:497] + "..."
