"""Rules over single pages of Polar's list: what a page promises beyond its schema.

Sources: `P1` to `P15` are the invariants of the service as read from its public repository, polarsource/polar at commit
c6c3645, and seen on the wire of its server; files named here are that repository's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from contract_tests.rules.observation import Observation
from contract_tests.rules.polar_reading import asked, page_of, sort_key
from contract_tests.rules.rule import Problem, Rule, exchange_rule
from contract_tests.rules.shared import LIMIT_KEPT, ORDER_HOLDS

ONLY = ("polar",)

_PAGINATION = "server/polar/kit/pagination.py:125-148"

ONE_CUSTOMER = Rule(
    "auth.one-customer",
    "All wallets of a list belong to one customer.",
    "P2; server/polar/customer_portal/endpoints/wallet.py:28-47",
    "pages with at least two wallets; in traffic of others, all that one token is shown",
    "in traffic: tokens that recorders took out",
    ONLY,
)

IDS_UNIQUE = Rule(
    "lists.ids-unique",
    "No wallet is on a page twice.",
    "P2",
    "pages with at least two wallets",
    "",
    ONLY,
)

TWO_PER_CURRENCY = Rule(
    "state.two-per-currency",
    "A customer has at most two wallets in one currency: one of each type.",
    "P12; server/polar/models/wallet.py:23-36",
    "pages with at least two wallets",
    "",
    ONLY,
)

MAX_PAGE = Rule(
    "lists.max-page",
    "max_page is total_count divided by the limit in effect (at most 100), rounded up.",
    f"P4; {_PAGINATION}",
    "every page",
    "spellings of numbers that servers may read one way or another",
    ONLY,
)

PAGE_FULL = Rule(
    "lists.page-full",
    "A page holds as many wallets as total_count and limit leave for it: only the last one is shorter, later ones are empty.",
    f"P4; {_PAGINATION}",
    "every page",
    "for a moment while others write: counting and reading are two queries (server/polar/kit/repository/base.py:106-118)",
    ONLY,
)

LATER_CRITERIA = Rule(
    "lists.later-criteria",
    "Wallets that tie on one sorting are in the order of the next one.",
    "P6; server/polar/kit/sorting.py:20-82",
    "pages sorted by several criteria, with ties",
    "ties that no criterion breaks may come either way round",
    ONLY,
)


@exchange_rule(ONE_CUSTOMER)
def one_customer(seen: Observation) -> Iterator[Problem | None]:
    """Compares each with the first."""
    page = page_of(seen)
    for index, item in enumerate(page.items[1:] if page else (), 1):
        first, customer = page.items[0].get("customer_id") if page else None, item.get("customer_id")
        if customer == first:
            yield None
        else:
            yield Problem("wallets of different customers in one list", f"/items/{index}/customer_id", first, customer)


@exchange_rule(IDS_UNIQUE)
def ids_unique(seen: Observation) -> Iterator[Problem | None]:
    """Counts."""
    page = page_of(seen)
    if page is None or len(page.items) < 2:
        return
    twins = [wallet_id for wallet_id, count in Counter(page.ids).items() if count > 1]
    yield Problem("a wallet is on the page twice", "/items", "every id once", twins[0]) if twins else None


@exchange_rule(TWO_PER_CURRENCY)
def two_per_currency(seen: Observation) -> Iterator[Problem | None]:
    """Counts different wallets: one page never holds more of them than the customer has."""
    page = page_of(seen)
    if page is None or len(page.items) < 2:
        return
    wallets = {(item.get("currency"), str(item.get("id"))) for item in page.items if isinstance(item.get("currency"), str)}
    for currency, count in Counter(currency for currency, _ in wallets).most_common(1):
        yield Problem(f"{count} wallets in {currency}", "/items", "at most two", count) if count > 2 else None


@exchange_rule(MAX_PAGE)
def max_page(seen: Observation) -> Iterator[Problem | None]:
    """Divides."""
    page, query = page_of(seen), asked(seen)
    if page is None or query is None:
        return
    expected = -(-page.total_count // query.limit)
    if page.max_page == expected:
        yield None
    else:
        problem = f"max_page does not fit {page.total_count} wallets at {query.limit} per page"
        yield Problem(problem, "/pagination/max_page", expected, page.max_page)


@exchange_rule(LIMIT_KEPT)
def limit_kept(seen: Observation) -> Iterator[Problem | None]:
    """Counts."""
    page, query = page_of(seen), asked(seen)
    if page is None or query is None:
        return
    if len(page.items) <= query.limit:
        yield None
    else:
        yield Problem("the page holds more wallets than its limit", "/items", f"at most {query.limit}", len(page.items))


@exchange_rule(PAGE_FULL)
def page_full(seen: Observation) -> Iterator[Problem | None]:
    """Subtracts what earlier pages hold; a page beyond its limit is another rule's business."""
    page, query = page_of(seen), asked(seen)
    if page is None or query is None or len(page.items) > query.limit:
        return
    expected = min(query.limit, max(0, page.total_count - (query.page - 1) * query.limit))
    if len(page.items) == expected:
        yield None
    else:
        problem = f"page {query.page} of {page.total_count} wallets at {query.limit} per page has not {expected}"
        yield Problem(problem, "/items", expected, len(page.items))


@exchange_rule(ORDER_HOLDS)
def order_holds(seen: Observation) -> Iterator[Problem | None]:
    """Compares neighbours by the first criterion."""
    page, query = page_of(seen), asked(seen)
    if page is None or query is None:
        return
    name, descending = query.sorting[0].lstrip("-"), query.sorting[0].startswith("-")
    for index, (before, after) in enumerate(pairwise(page.items), 1):
        one, two = sort_key(before, name), sort_key(after, name)
        if one is None or two is None:
            continue
        if one == two or (one > two) == descending:  # type: ignore[operator] # both are of the criterion's type
            yield None
        else:
            yield Problem(f"not in the order of {query.sorting[0]}", f"/items/{index}/{name}", before[name], after[name])


@exchange_rule(LATER_CRITERIA)
def later_criteria(seen: Observation) -> Iterator[Problem | None]:
    """Compares neighbours that tie on the first criterion by the others, until one tells them apart."""
    page, query = page_of(seen), asked(seen)
    if page is None or query is None or len(query.sorting) < 2:
        return
    for index, (before, after) in enumerate(pairwise(page.items), 1):
        for number, criterion in enumerate(query.sorting):
            name = criterion.lstrip("-")
            one, two = sort_key(before, name), sort_key(after, name)
            if one is None or two is None:
                break
            if one == two:
                continue
            if number and (one > two) == criterion.startswith("-"):  # type: ignore[operator]
                yield None
            elif number:
                yield Problem(f"a tie is not in the order of {criterion}", f"/items/{index}/{name}", before[name], after[name])
            break
