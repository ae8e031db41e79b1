"""Controls of the journal: what was asked and answered in a session, and whether that is what was expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from contract_tests.contract import Contract, Operation
from mock_server.call import Answer, Call, Handler
from mock_server.control.answers import json_answer, refused
from mock_server.control.asking import session_of
from mock_server.control.entries import Reader
from mock_server.control.verifying import Times, differences, matches_status, nearest, of_operation
from mock_server.journal import Entry, Journal
from mock_server.journal.bodies import parsed
from mock_server.world import Refusal

_USUAL_LIMIT = 100


class JournalControls:
    """The operations under /_mock/sessions/{session}/journal, and verify. `contracts` are the providers'."""

    def __init__(self, journal: Journal, contracts: Mapping[str, Contract]) -> None:
        self._journal = journal
        self._reader = Reader(contracts)
        self._operations: dict[str, Operation] = {}
        for contract in contracts.values():
            self._operations |= contract.operations
        self.handlers: Mapping[str, Handler] = {
            "journal": self.query,
            "clearJournal": self.clear,
            "journalEntry": self.get,
            "verify": self.verify,
        }

    async def query(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/journal"""
        session, query = self._session(call), call.request.query_first
        tests = self._tests(query)
        entries, last, dropped = await self._journal.kept(session)
        found = [entry for entry in entries if all(test(entry) for test in tests)]
        limit = int(query.get("limit", _USUAL_LIMIT))
        listed = found[:limit] if "after" in query else found[-limit:]
        bodies = []
        for entry in listed:
            bodies.append(self._reader.body(entry))
            await asyncio.sleep(0)  # a thousand take a while: others go first
        return json_answer(200, {"entries": bodies, "count": len(found), "last": last, "dropped": dropped})

    async def clear(self, call: Call) -> Answer:
        """DELETE /_mock/sessions/{session}/journal"""
        await self._journal.clear(session_of(call))
        return Answer(204)

    async def get(self, call: Call) -> Answer:
        """GET /_mock/sessions/{session}/journal/{number}"""
        session, number = self._session(call), int(call.request.path_params["number"])
        entries = (await self._journal.kept(session)).entries
        for entry in entries:
            if entry.number == number:
                return json_answer(200, self._reader.body(entry))
        kept = f"{entries[0].number} to {entries[-1].number}" if entries else "none"
        raise refused(404, "not_found", f"Session {session!r} has no entry {number}; kept are {kept}")

    async def verify(self, call: Call) -> Answer:
        """POST /_mock/sessions/{session}/verify"""
        session = self._session(call)
        wanted = parsed(call.request.body)
        if not isinstance(wanted, dict):
            raise Refusal("The body is too deep, or has a number beyond what can be compared")
        operation = self._operation(wanted["operation"])
        times = _times(wanted)
        where = wanted.get("where", {})
        entries, _, dropped = await self._journal.kept(session)
        matching = [
            entry for entry in entries if of_operation(entry, operation.id) and next(differences(entry, where), None) is None
        ]
        verified = times.allow(len(matching))
        near: list[dict[str, Any]] = []
        if len(matching) < times.least:
            near = nearest(self._reader, entries, operation, where)
        return json_answer(
            200,
            {
                "verified": verified,
                "count": len(matching),
                "expected": str(times),
                "matching": [entry.number for entry in matching],
                "nearest": near,
                "dropped": dropped,
            },
        )

    def _session(self, call: Call) -> str:
        if not self._journal.most:
            raise Refusal("This server keeps no journal: start it with --journal 1000")
        return session_of(call)

    def _operation(self, name: str) -> Operation:
        operation = self._operations.get(name)
        if operation is None:
            known = {each.lower(): each for each in self._operations}
            near = [known[each] for each in get_close_matches(name.lower(), known, 3)]
            others = f"near are {', '.join(near)}" if near else f"there are {', '.join(self._operations)}"
            raise refused(404, "not_found", f"No operation {name!r}; {others}")
        return operation

    def _tests(self, query: Mapping[str, str]) -> list[Callable[[Entry], bool]]:
        """What an entry must pass to be listed; the cheap tests first."""
        tests: list[Callable[[Entry], bool]] = []
        if "after" in query:
            after = int(query["after"])
            tests.append(lambda entry: entry.number > after)
        if "operation" in query:
            operation = self._operation(query["operation"])
            tests.append(lambda entry: of_operation(entry, operation.id))
        if "status" in query:
            tests.append(lambda entry: matches_status(query["status"], entry.response.status))
        if "since" in query:
            since = _moment("since", query["since"])
            tests.append(lambda entry: entry.call.at >= since)
        if "until" in query:
            until = _moment("until", query["until"])
            tests.append(lambda entry: entry.call.at <= until)
        if "wallet" in query:
            tests.append(lambda entry: self._reader.is_about(entry, query["wallet"]))
        return tests


def _moment(name: str, text: str) -> datetime:
    """Any time of any year: what lies outside the worlds' calendar is only compared with."""
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        message = f"{name}: expected a time such as 2026-11-21T09:00:00Z, got {text[:60]!r}"
        raise refused(400, "bad_request", message) from None


def _times(wanted: dict[str, Any]) -> Times:
    times, least, most = wanted.get("times"), wanted.get("at_least"), wanted.get("at_most")
    if times is not None and (least is not None or most is not None):
        raise Refusal("Say times, or at_least and at_most, not both")
    if times is not None:
        return Times(int(times), int(times))
    if most is None:
        return Times(1 if least is None else int(least), None)
    if least is not None and least > most:
        raise Refusal(f"at_least {least} is more than at_most {most}")
    return Times(int(least or 0), int(most))
