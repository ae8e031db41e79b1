"""What a text is: whether people chose it, and what of theirs it may be.

Nobody can tell a name from any other word. So a text is taken to be somebody's own unless its form shows that a machine
made it, or it is one of few words that mean the same to everybody: numbers, times, ids, states.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

from contract_tests.redaction import is_secret


class Kind(StrEnum):
    """What is replaced, as lists of replacements call it."""

    SECRET = "secret"
    EMAIL = "e-mail"
    NAME = "name"
    COMPANY = "company"
    USER_NAME = "user name"
    PHONE = "phone"
    STREET = "street"
    CITY = "city"
    STATE = "state"
    POSTAL_CODE = "postal code"
    COUNTRY = "country"
    BIRTHDAY = "birthday"
    IP = "IP address"
    NUMBER = "number"
    """Of an account, a card, a person: digits, perhaps with letters among them."""
    URL = "URL"
    IDENTIFIER = "identifier"
    """A key or an id that people, or their programs, chose."""
    TEXT = "text"
    MESSAGE = "message"
    """What a server says of a mistake: kept, but for what in it is known to be personal. Never in a list of replacements."""


EMAIL = re.compile(r"[\w.!#$%*+~^-]+@[\w-]+(?:\.[\w-]+)*")

_ULID = r"(?:[a-z][a-z0-9]{0,15}_)?[0-7][0-9A-HJKMNP-TV-Z]{25}"
_UUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_TIME = r"\d{4}-\d{2}(?:-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?)?"
MADE_BY_MACHINES = re.compile(rf"(?<![A-Za-z0-9])(?:{_ULID}|{_UUID}|{_TIME})(?![A-Za-z0-9])")
"""Ids that carry nothing but time and chance, and times."""

ROUTE = re.compile(r"[a-z][a-z_-]*|v\d+", re.ASCII)
"""What a segment of a path looks like that is the service's own."""

_KEPT = re.compile(
    rf"(?:{_ULID}|{_UUID})(?:,(?:{_ULID}|{_UUID}))*|{_TIME}|[-+]?\d{{1,6}}|[-+]?\d{{1,12}}\.\d{{1,9}}|true|false|null"
    r"|(?:Prepaid|Postpaid) Wallet - [A-Z]{3}|\*\*\*.*",
)
_STATES = (
    "credit debit active inactive frozen closed pending completed failed published archived deleted above below ok info "
    "warning in_alarm PRE_PAID POST_PAID ALL USAGE FIXED FREE_CREDIT_GRANT SUBSCRIPTION_CREDIT_GRANT PURCHASED_CREDIT_DIRECT "
    "PURCHASED_CREDIT_INVOICED PURCHASED_CREDIT_BONUS CREDIT_NOTE INVOICE_VOID_REFUND INVOICE_PAYMENT CREDIT_ADJUSTMENT "
    "CREDIT_EXPIRED WALLET_TERMINATION MANUAL_BALANCE_DEBIT PAYMENT EXTERNAL REQUEST INVOICE CARD asc desc eq"
)
_WORDS = frozenset(_STATES.split())
LONG_NUMBER = re.compile(r"[+(]{0,2}\d(?:[ ().+/-]{0,3}\d){6,}|[a-z]{2}\d{2}(?: ?[a-z0-9]){11,30}", re.ASCII | re.IGNORECASE)
"""Of a phone, a card, an account: digits with signs between them, or an IBAN."""
_DIGITS = re.compile(r"[-+]?\d+", re.ASCII)
# An amount as no contract has it: that is to be seen in a finding.
_ODD_NUMBER = re.compile(r"[-+]?\d{0,12}[.,]?\d{0,30}(?:[eE][-+]?\d{1,9})?", re.ASCII)
_CODE = re.compile(r"[\w./+-]{1,64}", re.ASCII)
_CODES = re.compile(
    r"(?:.*_)?(?:type|types|status|reason|currency|state|unit|order|condition|code|provider|sorting|expand|operator|version)"
    r"|sort|field|timezone|locale|language|object|loc|mode|limit|offset|page"
)
_MESSAGES = frozenset({"message", "detail", "details", "msg", "error", "error_description", "title", "hint", "internal_error"})
_AMOUNTS = re.compile(
    r"amount|balance|credit|debit|rate|usage|threshold|price|total|cost|quantity|remaining|paid|due|limit|offset|page|count"
)
_OF_PEOPLE = re.compile(r"(?:.*_)?(?:metadata|tags|labels|attributes|properties|extra|custom_fields|custom_data)")
_PROGRAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*", re.ASCII)
_IDENTIFIERS = re.compile(r"(?:.*_)?(?:id|ids|key|keys|ref|reference|slug|sku|token)")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# By a member's name; the first that fits. Names are in lower case, their words joined by underscores.
_NAMED: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.EMAIL, r".*e?mail(?:_address)?|.*_email_.*"),
        (Kind.PHONE, r".*(?:phone|mobile|msisdn|whatsapp|telefon)(?:_?(?:number|no))?|(?:.*_)?(?:fax|tel|cell)(?:_number)?"),
        (Kind.USER_NAME, r"(?:.*_)?(?:user_?name|login|handle|nick_?name|screen_name)"),
        (Kind.COMPANY, r"(?:.*_)?(?:company|organi[sz]ation|employer|business)(?:_name)?"),
        (Kind.NAME, r"(?:.*_)?(?:name|forename|surname|owner|contact|holder|author|salutation|middle_?initial)"),
        (Kind.NAME, r"(?:first|last|given|family|full|middle|maiden|display)name"),
        (Kind.STREET, r"(?:.*_)?(?:address|address_?line_?\d?|line_?\d|street|street_\w+|house_number)"),
        (Kind.CITY, r"(?:.*_)?(?:city|town|village|locality)"),
        (Kind.POSTAL_CODE, r"(?:.*_)?(?:postal_?code|zip|zip_?code|post_?code)"),
        (Kind.STATE, r"address_state|(?:.*_)?(?:province|county|region)"),
        (Kind.COUNTRY, r"(?:.*_)?country(?:_code|_name)?"),
        (Kind.BIRTHDAY, r"(?:.*_)?(?:dob|birth_?day|birth_?date|date_of_birth|birth_year)"),
        (Kind.IP, r"(?:.*_)?(?:ip|ip_?address|ipv[46]|remote_addr)"),
        (Kind.NUMBER, r"(?:.*_)?(?:iban|bic|ssn|passport|vat|tax_id|vat_id|sort_code|national_id|latitude|longitude)"),
        (Kind.NUMBER, r"(?:.*_)?(?:card|pan|pin|cvv|cvc|otp)"),
        (
            Kind.NUMBER,
            r"(?:.*_)?(?:card|account|routing|license|licence|passport|vat|tax|insurance|social_security)_(?:number|no)",
        ),
        (Kind.URL, r"(?:.*_)?(?:url|uri|href|link|website|homepage|avatar|callback|referer|referrer|location)"),
    )
)


@lru_cache(maxsize=4096)
def route(path: str, params: Collection[str] = ()) -> str:
    """A path with `*` for whatever people may have chosen. `params` are the values in it, decoded, if they are known."""
    return "/".join(_segment(part, unquote(part), params) for part in path.split("/"))


def _segment(part: str, value: str, params: Collection[str]) -> str:
    if MADE_BY_MACHINES.fullmatch(value) or (value not in params and ROUTE.fullmatch(part)):
        return part
    return "*" if part else ""


def plain(name: str) -> str:
    """A member's name in lower case, its words joined by underscores."""
    return _CAMEL.sub("_", name).replace("-", "_").replace(" ", "_").lower()


def is_of_people(name: str) -> bool:
    """Whether people put what they like into what has this name: no member in it means what its name says."""
    return _OF_PEOPLE.fullmatch(plain(name)) is not None


def is_program_name(name: str) -> bool:
    """Whether a name of a member looks like one that a program gave."""
    return len(name) <= 64 and _PROGRAM_NAME.fullmatch(name) is not None and MADE_BY_MACHINES.fullmatch(name) is None


@lru_cache(maxsize=4096)
def named(name: str) -> Kind | None:
    """What of people's a member of this name holds; None if its name does not say."""
    if is_secret(name):
        return Kind.SECRET
    lower = plain(name)
    return next((kind for kind, pattern in _NAMED if pattern.fullmatch(lower)), None)


def kind_of(name: str, value: str, *, of_people: bool) -> Kind | None:
    """What a text under a member's name is; None if it may be kept. `of_people`: it is in what people fill as they like."""
    lower = plain(name)
    by_name = named(name)
    if by_name is Kind.SECRET:
        return by_name
    if not value or value.isspace():
        return None
    if EMAIL.fullmatch(value.strip()):
        return Kind.EMAIL
    if by_name in (Kind.BIRTHDAY, Kind.NUMBER, Kind.PHONE, Kind.POSTAL_CODE):
        return by_name
    if _KEPT.fullmatch(value):
        return None
    if _DIGITS.fullmatch(value):
        return None if _AMOUNTS.search(lower) and len(value) <= 23 else Kind.NUMBER
    if not of_people and _AMOUNTS.search(lower) and _ODD_NUMBER.fullmatch(value):
        return None
    if by_name is Kind.COUNTRY and len(value) == 2:
        return None
    if by_name is not None:
        return by_name
    if value in _WORDS or (not of_people and _CODES.fullmatch(lower) and _CODE.fullmatch(value)):
        return None
    if not of_people and lower in _MESSAGES:
        return Kind.MESSAGE
    return _by_form(lower, value)


def _by_form(lower: str, value: str) -> Kind:
    if re.match(r"[a-z][a-z0-9+.-]*://|mailto:|tel:", value, re.IGNORECASE):
        return Kind.URL
    if LONG_NUMBER.fullmatch(value):
        return Kind.NUMBER
    word = not re.search(r"\s", value)
    if word and (_IDENTIFIERS.fullmatch(lower) or re.search(r"[\d_:/#-]", value)):
        return Kind.IDENTIFIER
    return Kind.TEXT
