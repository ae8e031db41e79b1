"""Traffic without personal data and secrets: for whatever shows or keeps what others sent.

Whatever people may have chosen is replaced; amounts, states, currencies, times and ids that servers made stay, since they are
what rules judge. `kinds` says what is what, `invention` what comes in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import detect_encoding
from urllib.parse import quote, unquote, urlencode

from contract_tests.exchange import Exchange, RawHeaders, Request, Response, content_type
from contract_tests.identity import HIDDEN, hide
from contract_tests.redaction import is_secret, redacted_text, secrets_of
from contract_tests.traffic import in_texts, kinds
from contract_tests.traffic.in_texts import Place, Sought, fitting
from contract_tests.traffic.invention import Invention
from contract_tests.traffic.json_text import Member, Rewriting, TooDeep
from contract_tests.traffic.kinds import EMAIL, Kind
from contract_tests.traffic.spelling import Reading, fold, words

_PLACES = 5  # of a replacement that are listed
_LONGEST_NAME = 4  # words
_SHORTEST_SECRET = 8  # what is shorter may be part of any text
_SHORT = 512
_MOST_HARMLESS = 4096
_LARGEST_PROSE = 64 << 10

_COMPANY = frozenset({"gmbh", "ag", "kg", "ohg", "se", "inc", "llc", "ltd", "limited", "corp", "corporation", "plc", "sa", "srl"})
# Words that mean something by themselves: never looked for in texts as part of somebody's name.
_COMMON = (
    "wallet wallets customer customers credit credits debit balance amount transaction transactions user users name email id "
    "key keys usd eur gbp jpy prepaid postpaid invoice invoices team account plan currency status type value true false null "
    "object string number array required property expected got the and for not was with from that this is in of to a an "
    "van von der den del las los bin ibn und your test default main other"
)
_VOCABULARY = frozenset(_COMMON.split())
# In a server's message: what is quoted, and what is written with a capital without a sentence beginning there.
_CAPITAL = r"[^\W\d_a-z][^\W\d_]+(?:['’-][^\W\d_]+)*"
_NAMED_IN_MESSAGE = re.compile(rf"""(?<=["'`“«])[^"'`”»]{{2,80}}(?=["'`”»])|(?<=[^\s.!?] ){_CAPITAL}(?: {_CAPITAL})*""")
_CODE_WORD = re.compile(r"[a-z][a-z0-9]*(?:[_.-][a-z0-9]+)*|[A-Z]+(?:_[A-Z]+)*", re.ASCII)
_KNOWN_HEADERS = re.compile(
    r"accept(-.*)?|age|allow|alt-svc|cache-control|connection|content-(?:type|length|encoding|language|range)|"
    r"content-security-policy.*|date|etag|expect|expires|host|if-.*|keep-alive|"
    r"last-modified|location|origin|pragma|prefer|preference-applied|priority|range|referer|referrer-policy|retry-after|server|"
    r"server-timing|strict-transport-security|te|trailer|transfer-encoding|upgrade.*|user-agent|vary|via|www-authenticate|"
    r"access-control-.*|sec-.*|x-content-type-options|x-frame-options|x-xss-protection|x-powered-by|x-max-live|"
    r"x-(?:ratelimit|mock|walletproof)-.*|ratelimit-.*|permissions-policy|polar-version|polar-.*-notice|"
    r"forwarded|x-forwarded-(?:for|host|proto|port|prefix)|"
    r"x-requested-with|traceparent|dnt|cross-origin-.*"
)
_ADDRESSED = frozenset({"location", "referer", "origin", "content-location", ":path"})
_FORM = re.compile(r"[^\s=&<>{}]+=[^\s&<>]*(?:&[^\s=&<>{}]+=[^\s&<>]*)*")


@dataclass(frozen=True)
class Replacement:
    """One value that was replaced: by what, where (the first few places, with `*` for those in lists), and how often."""

    kind: str
    replacement: str
    where: tuple[str, ...]
    count: int


@dataclass(slots=True)
class _Noted:
    kind: Kind
    where: dict[str, None]
    count: int = 0


class Pseudonyms:
    """Puts invented values in the place of personal ones: the same for the same, in however many exchanges and however spelled.

    A replacement depends on the seed and on how many came before it, never on the original. What is a replacement already
    stays. Secrets become `***`.
    """

    def __init__(self, seed: int = 1) -> None:
        self._invention = Invention(seed)
        self._replacements: dict[str, str] = {}  # by what they replace, folded
        self._words: dict[str, str] = {}  # of people's names, folded
        self._invented: set[str] = set()  # folded
        self._sought = Sought()
        self._secrets = Sought()
        self._own = Sought()
        self._kinds: dict[str, Kind] = {}  # by replacement, as what they were invented
        self._noted: dict[str, _Noted] = {}  # by replacement
        self._noting = False
        self._harmless: dict[str, int] = {}  # texts that nothing was found in, when so many things were looked for

    @property
    def replaced(self) -> list[Replacement]:
        """What was replaced in exchanges, in the order in which it came. Never the originals."""
        return [Replacement(noted.kind.value, text, tuple(noted.where), noted.count) for text, noted in self._noted.items()]

    def exchange(self, exchange: Exchange) -> Exchange:
        """The exchange without personal data and secrets. Lengths of bodies change, and `content-length` with them.

        Parameters in the path are known by `path_params`; without them, a segment that is a word of lower-case letters is taken
        to be part of the route.
        """
        self.learn(exchange)
        self._noting = True
        try:
            return self._clean(exchange)
        finally:
            self._noting = False

    def learn(self, exchange: Exchange) -> None:
        """Get to know what is personal in an exchange: what is so here may stand in the texts of another one before it."""
        self._clean(exchange)

    def text(self, text: str) -> str:
        """A text without what was learnt so far, and without what can be told by its form: e-mails, numbers of phones, cards."""
        return self._without(text, "text")

    # ------------------------------------------------------------------ exchanges

    def _clean(self, exchange: Exchange) -> Exchange:
        request, response = exchange.request, exchange.response
        secrets = secrets_of(request.headers) | secrets_of(response.headers)
        for secret in sorted(secrets):
            self._secrets.add(secret, HIDDEN)
        params = {
            name: self._member(name, value, "request path", secrets, of_people=False)
            for name, value in request.path_params.items()
        }
        query = self._query(request, secrets)
        body = self._body(request.body, content_type(request.headers), "request body", secrets, refused=False)
        refused = response.status >= 400
        answered = self._body(response.body, content_type(response.headers), "response body", secrets, refused=refused)
        path = self._path(request, params)
        sent = Request(
            request.method,
            path,
            query,
            self._headers(request.headers, "request header", secrets, request.body, body),
            body,
            params,
        )
        headers = self._headers(response.headers, "response header", secrets, response.body, answered)
        return Exchange(sent, Response(response.status, headers, answered))

    def _path(self, request: Request, params: dict[str, str]) -> str:
        replaced = {value: params[name] for name, value in request.path_params.items()}
        segments = []
        for segment in request.path.split("/"):
            value = unquote(segment)
            if value in replaced:
                segments.append(segment if replaced[value] == value else quote(replaced[value], safe=""))
            elif request.path_params:
                segments.append(self._without(segment, "request path"))
            else:
                segments.append(self._segment(segment, value))
        return "/".join(segments)

    def _segment(self, segment: str, value: str) -> str:
        if not value or kinds.ROUTE.fullmatch(value):
            return self._without(segment, "request path")
        shown = self._member("id", value, "request path", frozenset(), of_people=False)
        return segment if shown == value else quote(shown, safe="")

    def _query(self, request: Request, secrets: frozenset[str]) -> bytes:
        pairs = request.query
        shown = []
        for name, value in pairs:
            shown_name = self._name(name, "request query", of_people=False)
            shown.append((shown_name, self._member(name, value, f"request query {shown_name}", secrets, of_people=False)))
        return request.query_string if shown == pairs else urlencode(shown).encode()

    def _headers(
        self, headers: RawHeaders, where: str, secrets: frozenset[str], before: bytes, after: bytes
    ) -> list[tuple[bytes, bytes]]:
        shown = []
        for raw_name, raw in headers:
            name, (value, encoding) = raw_name.decode("latin-1").lower(), _header_text(raw)
            if name == "content-length" and before != after:
                shown.append((raw_name, str(len(after)).encode()))
                continue
            text = self._header(name, value, f"{where} {name}", secrets)
            shown.append((raw_name, raw if text == value else text.encode(encoding, "replace")))
        return shown

    def _header(self, name: str, value: str, where: str, secrets: frozenset[str]) -> str:
        if is_secret(name):
            self._note(Kind.SECRET, HIDDEN, where)
            return HIDDEN
        if name in _ADDRESSED:
            return self._address(value, where, secrets)
        if _KNOWN_HEADERS.fullmatch(name):
            return self._without(hide(value, secrets), where)
        return self._member(name.removeprefix("x-"), value, where, secrets, of_people=True)

    def _address(self, url: str, where: str, secrets: frozenset[str]) -> str:
        """A URL whose host stays."""
        rest, hash_sign, _ = url.partition("#")
        rest, question, query = rest.partition("?")
        start = rest.find("/", rest.find("://") + 3) if "://" in rest else 0
        host, path = (rest, "") if start < 0 else (rest[:start], rest[start:])
        shown = Request("GET", path, query.encode())
        text = self._without(host, where) + "/".join(self._segment(part, unquote(part)) for part in path.split("/"))
        if question:
            text += "?" + self._query(shown, secrets).decode()
        return text + ("#" if hash_sign else "")

    # ------------------------------------------------------------------ bodies

    def _body(self, body: bytes, kind: str, where: str, secrets: frozenset[str], *, refused: bool) -> bytes:
        if not body:
            return body
        encoding: str = detect_encoding(body[:4])
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            encoding = "latin-1"
            text = body.decode(encoding)
        shown = self._body_text(text, kind, where, secrets, refused=refused)
        return body if shown == text else shown.encode(encoding, "replace")

    def _body_text(self, text: str, kind: str, where: str, secrets: frozenset[str], *, refused: bool) -> str:
        if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", '"'):
            try:
                return self._json(text, where, secrets, refused=refused)
            except TooDeep:
                return self._prose(text, where, secrets)
        if "urlencoded" in kind or _FORM.fullmatch(text):
            pairs = Request("POST", "", text.encode()).query
            return urlencode(
                [
                    (
                        self._name(name, where, of_people=True),
                        self._member(name, value, f"{where} {name}", secrets, of_people=False),
                    )
                    for name, value in pairs
                ]
            )
        return self._prose(text, where, secrets)

    def _json(self, text: str, where: str, secrets: frozenset[str], *, refused: bool) -> str:
        def of_people(member: Member) -> bool:
            return any(kinds.is_of_people(name) for name in member.above)

        def write_text(value: str, member: Member) -> str:
            if any(map(is_secret, member.above)):
                return self._hidden(value, where + member.pointer)
            free = of_people(member) or kinds.is_of_people(member.name)
            return self._member(member.name, value, where + member.pointer, secrets, of_people=free, refused=refused)

        def write_number(value: str, member: Member) -> str:
            if any(map(is_secret, (*member.above, member.name))):
                return f'"{HIDDEN}"'
            free = of_people(member) or kinds.is_of_people(member.name)
            if kinds.named(member.name) or (free and kinds.kind_of(member.name, value, of_people=True) is Kind.NUMBER):
                shown = re.sub(r"\D", "", self._replacement(Kind.NUMBER, value, where + member.pointer))
                return shown.lstrip("0") or "0"
            return value

        def write_name(name: str, holder: Member) -> str:
            free = of_people(holder) or kinds.is_of_people(holder.name)
            name = hide(name, secrets) if any(secret in name for secret in secrets) else name
            return self._name(name, where + holder.pointer, of_people=free)

        rewriting = Rewriting(write_text, write_number, write_name, lambda other: self._prose(other, where, secrets))
        return rewriting(text)

    def _prose(self, text: str, where: str, secrets: frozenset[str]) -> str:
        """What has no form that could be told: of its own words only those stay that any such page has."""
        if len(text) > _LARGEST_PROSE:
            return f"[{len(text)} characters left out]"
        return self._without(hide(text, secrets), where, between=in_texts.masked)

    def _name(self, name: str, where: str, *, of_people: bool) -> str:
        """A member's name. Those that people gave may be about somebody."""
        if kinds.is_program_name(name):
            return self._without(name, where) if of_people else name
        if kinds.MADE_BY_MACHINES.fullmatch(name) or not name:
            return name
        kind = Kind.EMAIL if EMAIL.fullmatch(name) else Kind.TEXT
        return self._replacement(kind, name, where)

    # ------------------------------------------------------------------ values

    def _member(
        self, name: str, value: str, where: str, secrets: frozenset[str], *, of_people: bool, refused: bool = False
    ) -> str:
        """What to write for the value of a member, a parameter or a header. `refused`: a server says what was wrong."""
        kind = kinds.kind_of(name, value, of_people=of_people)
        if kind is Kind.MESSAGE:
            return self._message(hide(value, secrets), where) if refused else self._replacement(Kind.TEXT, value, where)
        if kind is Kind.SECRET or (value and any(secret in value for secret in secrets)):
            return self._hidden(value, where)
        return value if kind is None else self._replacement(kind, value, where)

    def _hidden(self, secret: str, where: str) -> str:
        """Hide it here, and wherever else it stands."""
        if len(secret) >= _SHORTEST_SECRET:
            self._secrets.add(secret, HIDDEN)
        self._note(Kind.SECRET, HIDDEN, where)
        return HIDDEN

    def _message(self, text: str, where: str) -> str:
        for match in _NAMED_IN_MESSAGE.finditer(text):
            said = match[0]
            known = _CODE_WORD.fullmatch(said) or kinds.kind_of("", said, of_people=False) is None
            if not known and not all(word in _VOCABULARY | in_texts.PROSE for word in words(said)):
                self._replacement(Kind.NAME, said, where)
        return self._without(text, where)

    def _replacement(self, kind: Kind, value: str, where: str) -> str:
        key = _key(value)
        if not key or key in self._invented:
            return value
        shown = self._replacements.get(key)
        if shown is None:
            shown = self._invent(kind, value, key)
        self._note(kind, shown, where)
        return shown

    def _invent(self, kind: Kind, value: str, key: str) -> str:
        parts = words(value)
        if kind is Kind.NAME:
            if any(part in _COMPANY for part in parts):
                kind = Kind.COMPANY
            elif any(part.isdigit() or part in _VOCABULARY for part in parts) or not 0 < len(parts) <= _LONGEST_NAME:
                kind = Kind.TEXT
        shown = self._person(parts) if kind is Kind.NAME else self._invention.text(kind, value, self._is_taken)
        self._keep(key, shown)
        self._kinds[shown] = kind
        weak = kind is Kind.TEXT and len(parts) == 1 and value.isascii() and value.islower()
        self._sought.add(value, shown, weak=weak or sum(map(len, parts)) < 3 or all(part in _VOCABULARY for part in parts))
        if key != fold(value):
            self._sought.add(key, shown)
        return shown

    def _person(self, parts: tuple[str, ...]) -> str:
        """Word by word: so first and last name are the same whether they stand together or each for itself."""
        shown = []
        for number, part in enumerate(parts):
            word = self._words.get(part) or self._replacements.get(part, " ")
            if " " in word:  # it stands for something else than a name as well
                word = self._invention.word(self._is_taken, last=number == len(parts) - 1 > 0)
                self._words[part] = word
                if part not in self._replacements:
                    self._keep(part, word)
                if len(part) > 2 and part not in _VOCABULARY:
                    self._sought.add(part, word)
            shown.append(word)
        if len(parts) > 1:
            joined = "".join(shown)
            self._sought.add("".join(parts), joined)
            self._own.add(joined, joined)
            self._invented.add(_key(joined))
        return " ".join(shown)

    def _keep(self, key: str, shown: str) -> None:
        self._replacements[key] = shown
        self._invented.add(_key(shown))
        # A replacement that stands in a text stays, though parts of it may be somebody's name, or look like a number.
        self._own.add(shown, shown, weak=len(words(shown)) < 2)

    def _is_taken(self, text: str) -> bool:
        key = _key(text)
        return key in self._replacements or key in self._invented

    def _note(self, kind: Kind, shown: str, where: str) -> None:
        if self._noting:
            noted = self._noted.setdefault(shown, _Noted(self._kinds.get(shown, kind), {}))
            noted.count += 1
            if len(noted.where) < _PLACES:
                noted.where[where] = None

    # ------------------------------------------------------------------ texts

    def _without(self, text: str, where: str, between: Callable[[str], str] = str) -> str:
        """A text with replacements in the place of what is personal; `between` is applied to what stands between them."""
        looked_for = self._sought.count + self._secrets.count + self._own.count
        if not text or (between is str and self._harmless.get(text) == looked_for):
            return text
        redacted = redacted_text(text, frozenset())
        shown = in_texts.rewritten(redacted, self._found(redacted, where), between)
        if shown == text and between is str and len(text) < _SHORT:
            if len(self._harmless) >= _MOST_HARMLESS:
                self._harmless.clear()
            self._harmless[text] = looked_for
        return shown

    def _found(self, text: str, where: str) -> Iterator[Place]:
        """What is to be replaced, the most certain first; what must stay replaces itself."""
        reading = Reading(text)
        for pattern in (in_texts.JWT, in_texts.USER_INFO):
            for match in pattern.finditer(reading.folded):
                yield *reading.place(*match.span()), HIDDEN
        yield from self._secrets.find(text, reading)
        yield from ((*match.span(), match[0]) for match in kinds.MADE_BY_MACHINES.finditer(text))
        yield from self._own.find(text, reading)
        for kind, said, start, end in in_texts.patterned(reading):
            shown = self._replacement(kind, said, where)
            yield start, end, text[start:end] if shown == said else fitting(shown, text[start:end])
        yield from self._sought.find(text, reading)
        for inner, start, end in in_texts.encoded(text):
            if self._without(inner, where) != inner:
                yield start, end, HIDDEN


def _key(value: str) -> str:
    """The same for all spellings of a value; in numbers signs between the digits do not count."""
    key = fold(value)
    return re.sub(r"[\W_]", "", key) if kinds.LONG_NUMBER.fullmatch(key) else key


def _header_text(raw: bytes) -> tuple[str, str]:
    """A header's value and its encoding: programs write UTF-8, whatever the standard says."""
    try:
        return raw.decode(), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "latin-1"
