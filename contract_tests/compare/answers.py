"""Two answers to one step, member by member: what is unlike in them once ids and times are aligned."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from contract_tests.compare import lawful, names, times
from contract_tests.compare.lawful import Lawful
from contract_tests.compare.names import Names
from contract_tests.compare.places import place
from contract_tests.compare.steps import WALLETS, Step
from contract_tests.compare.times import Times
from contract_tests.references import resolved
from contract_tests.rules.observation import NO_JSON, Observation

Kind = Literal["status", "code", "shape", "value", "order", "header", "relation"]
KINDS: tuple[Kind, ...] = ("status", "code", "shape", "value", "order", "header", "relation")

AMOUNTS = "amounts"
MEMBERS = "members of lists"

_MOST_DEPTH = 40
_NEW = "a new one"


@dataclass
class Unlike:
    """One thing that differs. `first` and `second` are what the sides say, in words.

    `wallet` and `family` say what of the service's state it is about, empty if it is not about state: one that is off stays
    so, which is no other difference. `rules` are those that only one side breaks here.
    """

    kind: Kind
    pointer: str
    problem: str
    first: str
    second: str
    wallet: str = ""
    family: str = ""
    rules: list[str] = field(default_factory=list)


@dataclass
class Compared:
    """What came of comparing two answers. `looked` are the kinds that there was something to compare for."""

    unlike: list[Unlike] = field(default_factory=list)
    looked: set[Kind] = field(default_factory=set)
    words: list[tuple[str, str, str]] = field(default_factory=list)  # pointer, first, second


class Aligned:
    """What is known of both sides so far: names, times, what was given to them."""

    def __init__(self, lawful: Lawful) -> None:
        self.lawful = lawful
        self.names = Names()
        self.times = Times()
        self.given: set[str] = set()
        self.unshared: dict[str, set[str]] = {}  # headers that no contract names and that one side only has

    def gave(self, value: Any) -> None:
        """Both sides were sent this, so that what they answer of it is no time or id of their own."""
        if isinstance(value, str):
            self.given.add(value)
        elif isinstance(value, dict):
            for item in value.values():
                self.gave(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.gave(item)

    def compare(self, step: Step, first: Observation, second: Observation) -> Compared:
        """Everything unlike in two answers. Ids that are new are paired by their place."""
        return _Comparison(self, step, first, second).run()


class _Comparison:
    def __init__(self, aligned: Aligned, step: Step, first: Observation, second: Observation) -> None:
        self.aligned = aligned
        self.step = step
        self.first = first
        self.second = second
        self.found = Compared()
        self.error = first.status >= 400
        self.wallet = str(step.wallets[0]) if len(step.wallets) == 1 else ""

    def run(self) -> Compared:
        found, first, second = self.found, self.first, self.second
        found.looked.add("status")
        if first.status != second.status:
            wallet = self.wallet if self.step.operation else ""
            self._unlike("status", "", "the status differs", _answer(first), _answer(second), wallet, "*")
            return found
        found.looked |= {"header", "shape", "relation"}
        if self.error:
            found.looked.add("code")
        elif self.step.same_data:
            found.looked.add("value")
        self._headers()
        self._bodies()
        return found

    # ------------------------------------------------------------------ headers

    def _headers(self) -> None:
        contract = _declared_headers(self.first)
        sides = [_headers(seen) for seen in self._both]
        for name in sorted(sides[0].keys() | sides[1].keys()):
            one, two = sides[0].get(name), sides[1].get(name)
            if name not in contract and name not in lawful.MEANINGFUL_HEADERS:
                if one is None or two is None:
                    self.aligned.unshared.setdefault(name, set()).add("A" if two is None else "B")
                continue
            pointer = f"header {name}"
            if one is None or two is None:
                self._unlike("header", pointer, "only one side sends it", one or "absent", two or "absent")
            elif name in lawful.ANY_VALUE_HEADERS and not self._is_ours(one, two):
                self.aligned.names.pair(one, two)
            elif name == "content-type" and self._same_media():
                continue
            elif not self._any_value(pointer) and self._symbolic(one, two) is None:
                self._unlike("header", pointer, "the header differs", one, two)

    def _same_media(self) -> bool:
        """Whether media types need no word: a charset means nothing to JSON, and a body that is no JSON shows itself."""
        first, second = self._both
        return (_is_json(first) and _is_json(second)) or (first.body is NO_JSON) != (second.body is NO_JSON)

    def _is_ours(self, one: str, two: str) -> bool:
        known = self.aligned.names
        return known.symbol(one, 0) is not None or known.symbol(two, 1) is not None

    @property
    def _both(self) -> tuple[Observation, Observation]:
        return self.first, self.second

    # ------------------------------------------------------------------ bodies

    def _bodies(self) -> None:
        one, two = self.first.body, self.second.body
        if one is NO_JSON and two is NO_JSON:
            if self.first.text != self.second.text:
                if bool(self.first.text) != bool(self.second.text):
                    self._unlike("shape", "", "only one side has a body", _text(self.first), _text(self.second))
                else:
                    self.found.words.append(("", self.first.text[:200], self.second.text[:200]))
        elif one is NO_JSON or two is NO_JSON:
            self._unlike("shape", "", "only one body is JSON", _text(self.first), _text(self.second))
        elif self.step.same_data or self.error:
            self._value("", one, two, self.wallet, "")
        else:
            self._forms(one, two)

    def _value(self, pointer: str, one: Any, two: Any, wallet: str, of: str) -> None:
        """Compare what is at a place. `wallet` is the one it tells of, `of` the object that holds it."""
        if pointer.count("/") > _MOST_DEPTH or self._any_value(pointer):
            return
        if _type(one) != _type(two):
            self._other_type(pointer, one, two, wallet)
        elif isinstance(one, dict):
            self._object(pointer, one, two, wallet, of)
        elif isinstance(one, list):
            self._list(pointer, one, two, wallet, of)
        elif isinstance(one, str):
            self._text(pointer, one, two, wallet, of)
        elif one != two:
            self._plain(pointer, one, two, wallet)

    def _other_type(self, pointer: str, one: Any, two: Any, wallet: str) -> None:
        if self._is_words(pointer):
            self.found.words.append((pointer, _shown(one), _shown(two)))
            return
        self._unlike("shape", pointer, f"{_type(one)} and {_type(two)}", _shown(one), _shown(two))
        numbers = _number(one), _number(two)
        if None not in numbers and numbers[0] != numbers[1]:
            self._unlike("value", pointer, "the amount differs", _shown(one), _shown(two), wallet, AMOUNTS)

    def _object(self, pointer: str, one: Mapping[str, Any], two: Mapping[str, Any], wallet: str, of: str) -> None:
        is_map = pointer.rpartition("/")[2] in lawful.MAPS
        if one and two and not is_map and not one.keys() & two.keys():
            self._unlike("shape", pointer, "objects that share no member", _members(one), _members(two))
            return
        if isinstance(one.get("id"), str) and isinstance(two.get("id"), str):
            self._text(f"{pointer}/id", one["id"], two["id"], wallet, "")
            of = self.aligned.names.symbolic(one["id"], 0)
        wallet = self._owner(one) or wallet
        for name in [*one, *(name for name in two if name not in one)]:
            at = f"{pointer}/{_escaped(name)}"
            if name in one and name in two:
                if name != "id" or not isinstance(one[name], str) or not isinstance(two[name], str):
                    self._value(at, one[name], two[name], wallet, of)
            elif self._is_words(at):
                self.found.words.append((at, _shown(one.get(name)), _shown(two.get(name))))
            elif is_map:
                self._unlike("value", pointer, "the members differ", _shown(one), _shown(two), wallet, "metadata")
            else:
                shown = [_shown(side[name]) if name in side else "absent" for side in (one, two)]
                self._unlike("shape", at, "only one side has it", *shown)

    def _owner(self, one: Mapping[str, Any]) -> str:
        """The wallet that an object is, or belongs to, where it is one of the sequence's own."""
        for name in ("wallet_id", "id"):
            value = one.get(name)
            symbol = self.aligned.names.symbol(value, 0) if isinstance(value, str) else None
            if symbol is not None and symbol.kind in WALLETS:
                return str(symbol)
        return ""

    def _list(self, pointer: str, one: list[Any], two: list[Any], wallet: str, of: str) -> None:
        if self.error:
            pairs = list(zip(one, two, strict=False))
            if len(one) != len(two):
                self._unlike("code", pointer, "another number of items", f"{len(one)} items", f"{len(two)} items")
        else:
            if len(one) > 1 or len(two) > 1:
                self.found.looked.add("order")
            if self.step.among_others and pointer in ("", "/items"):
                one, two = self._ours(one, 0), self._ours(two, 1)
            pairs = self._paired(pointer, one, two, wallet)
        for index, (left, right) in enumerate(pairs):
            self._value(f"{pointer}/{index}", left, right, wallet, of)

    def _paired(self, pointer: str, one: list[Any], two: list[Any], wallet: str) -> list[tuple[Any, Any]]:
        """Items that are the same thing on both sides: known ones by what they are, new ones by their place."""
        if len(one) == len(two) and not (_have_ids(one) and _have_ids(two)) and isinstance(next(iter(one), None), dict):
            return list(zip(one, two, strict=True))
        shared = _ids(one) & _ids(two)
        left, right = ([self._key(item, side, shared) for item in items] for side, items in enumerate((one, two)))
        if left == right:
            return list(zip(one, two, strict=True))
        if Counter(left) == Counter(right):
            self._unlike("order", pointer, "another order", ", ".join(left), ", ".join(right))
        else:
            beyond = _beyond(Counter(left) - Counter(right)), _beyond(Counter(right) - Counter(left))
            first, second = (f"{len(items)} items{more}" for items, more in zip((one, two), beyond, strict=True))
            # This is state: what is missing here is missing in the next list.
            self._unlike("value", pointer, "other items", first, second, wallet, MEMBERS)
        rest: dict[str, list[Any]] = {}
        for key, item in zip(right, two, strict=True):
            if key != _NEW:  # who knows which is which
                rest.setdefault(key, []).append(item)
        return [(item, rest[key].pop(0)) for key, item in zip(left, one, strict=True) if rest.get(key)]

    def _ours(self, items: list[Any], side: int) -> list[Any]:
        return [item for item in items if self._key(item, side).startswith("wallet ")]

    def _key(self, item: Any, side: int, shared: frozenset[str] = frozenset()) -> str:
        if isinstance(item, dict):
            name = item.get("id")
            symbol = self.aligned.names.symbol(name, side) if isinstance(name, str) else None
            return str(symbol) if symbol else str(name) if name in shared else _NEW
        return "a list" if isinstance(item, list) else self.aligned.names.symbolic(str(item), side)

    def _text(self, pointer: str, one: str, two: str, wallet: str, of: str) -> None:
        member = pointer.rpartition("/")[2]
        moments = times.instant(one), times.instant(two)
        if moments[0] is not None and moments[1] is not None:
            if times.form(one) != times.form(two):
                self._unlike("shape", pointer, "times written otherwise", one, two)
            if one in self.aligned.given or two in self.aligned.given:
                if moments[0] != moments[1]:
                    self._unlike("value", pointer, "the time differs", one, two, wallet, member)
            elif of and (moves := self.aligned.times.unlike((of, member), moments[0], moments[1])):
                first, second = (f"{text} ({move})" for text, move in zip((one, two), moves, strict=True))
                self._unlike("value", pointer, "one moved and the other did not", first, second, wallet, member)
            return
        if self._symbolic(one, two) is not None:
            if one == two and member == "id":
                self.aligned.names.pair(one, two)  # so that it is known where only one side shows it
            return
        numbers = _number(one), _number(two)
        if numbers[0] is not None and numbers[1] is not None:
            if numbers[0] == numbers[1]:
                self._unlike("shape", pointer, "a number written otherwise", one, two)
            else:
                self._plain(pointer, one, two, wallet)
        elif self._is_words(pointer):
            self.found.words.append((pointer, one, two))
        elif self.error or not names.is_id(member, one, two):
            if not self.aligned.names.pair_within(one, two):
                self._plain(pointer, one, two, wallet)
        elif not self.aligned.names.pair(one, two):
            self._unlike("value", pointer, "not the same thing", self._named(one, 0), self._named(two, 1), wallet, member)
        elif names.form(one) != names.form(two):
            self._unlike("shape", pointer, "ids written otherwise", one, two)

    def _symbolic(self, one: str, two: str) -> str | None:
        """What both texts say once names are replaced; None if that is not the same."""
        left, right = self.aligned.names.symbolic(one, 0), self.aligned.names.symbolic(two, 1)
        return left if left == right else None

    def _named(self, text: str, side: int) -> str:
        symbol = self.aligned.names.symbol(text, side)
        return f"{text} ({symbol})" if symbol else text

    def _plain(self, pointer: str, one: Any, two: Any, wallet: str) -> None:
        if self._is_words(pointer):
            self.found.words.append((pointer, _shown(one), _shown(two)))
        elif self.error:
            self._unlike("code", pointer, "the error differs", _shown(one), _shown(two))
        else:
            self._unlike("value", pointer, "the value differs", _shown(one), _shown(two), wallet, _family(pointer, one, two))

    def _is_words(self, pointer: str) -> bool:
        """Whether a place of an error is for people."""
        if not self.error:
            return False
        parts = pointer.strip("/").split("/")
        if any(part in lawful.WORDS for part in parts[:-1] if part != "detail"):
            return True
        last = parts[-1]
        if last == "error":
            return any(" " in str(_at(seen.body, parts)) for seen in self._both)
        return last in lawful.WORDS and not isinstance(_at(self.first.body, parts), list)

    # ------------------------------------------------------------------ where the data differ

    def _forms(self, one: Any, two: Any) -> None:
        """Types alone: both sides hold different things."""
        left, right = dict[str, set[str]](), dict[str, set[str]]()
        _collect("", one, left)
        _collect("", two, right)
        for pointer in left:
            types = left[pointer] - {"null"}, right.get(pointer, set()) - {"null"}
            if all(types) and not types[0] & types[1] and not self._any_value(pointer):
                self._unlike("shape", pointer, "another type", ", ".join(sorted(types[0])), ", ".join(sorted(types[1])))

    # ------------------------------------------------------------------

    def _any_value(self, pointer: str) -> bool:
        return self.aligned.lawful.any_value(self.step.operation, place(pointer))

    def _unlike(
        self, kind: Kind, pointer: str, problem: str, first: str, second: str, wallet: str = "", family: str = ""
    ) -> None:
        self.found.unlike.append(Unlike(kind, pointer, problem, first, second, wallet, family))


def _family(pointer: str, one: Any, two: Any) -> str:
    """What of a service's state a value tells of."""
    if pointer.startswith("/pagination/"):
        return MEMBERS if pointer.endswith("/total") else pointer
    if _number(one) is not None and _number(two) is not None:
        return AMOUNTS
    return pointer.rpartition("/")[2]


def _headers(seen: Observation) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in seen.response.headers}


def _declared_headers(seen: Observation) -> frozenset[str]:
    """The headers that the contract names for this answer, in lower case."""
    path, method = seen.operation.key
    merged = seen.contract.merged
    item = merged["paths"].get(path, {}).get(method) or {"responses": merged.get("x-unrouted", {}).get("responses", {})}
    responses = item["responses"]
    found: dict[str, Any] = next(
        (responses[key] for key in (str(seen.status), f"{seen.status // 100}XX", "default") if key in responses), {}
    )
    return frozenset(name.lower() for name in resolved(merged, found).get("headers", {}))


def _is_json(seen: Observation) -> bool:
    return seen.is_json and (seen.header(b"content-type") or "").lower().startswith("application/json")


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds: Sequence[tuple[type | tuple[type, ...], str]] = ((str, "text"), ((int, float), "number"), (list, "list"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "object")


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 100:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _at(body: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        if isinstance(body, dict):
            body = body.get(part.replace("~1", "/").replace("~0", "~"))
        elif isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        else:
            return None
    return body


def _collect(pointer: str, value: Any, found: dict[str, set[str]]) -> None:
    found.setdefault(pointer, set()).add(_type(value))
    if pointer.count("/") > _MOST_DEPTH or pointer.rpartition("/")[2] in lawful.MAPS:
        return
    children: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, dict):
        children = ((_escaped(name), item) for name, item in value.items())
    elif isinstance(value, list):
        children = (("*", item) for item in value)
    for name, item in children:
        _collect(f"{pointer}/{name}", item, found)


def _ids(items: Sequence[Any]) -> frozenset[str]:
    return frozenset(item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str))


def _have_ids(items: Sequence[Any]) -> bool:
    return all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in items)


def _beyond(extra: Counter[str]) -> str:
    return f", among them {', '.join(sorted(extra.elements()))}" if extra else ""


def _members(value: Mapping[str, Any]) -> str:
    return f"an object with {', '.join(sorted(value))}"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _text(seen: Observation) -> str:
    return seen.text[:200] if seen.text else "no body"


def _answer(seen: Observation) -> str:
    body = seen.body
    code = (body.get("code") or body.get("error")) if isinstance(body, dict) and seen.status >= 400 else ""
    return f"{seen.status} {code}" if isinstance(code, str) and code else str(seen.status)
