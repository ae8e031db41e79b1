"""Walking the list: whatever the size of a page and the order, it is the same wallets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from contract_tests.probes.polar.asking import Read, ask, judge_same, page, shown
from contract_tests.probes.probe import NotTested, Stage, probe
from contract_tests.rules.polar_pages import LATER_CRITERIA
from contract_tests.rules.polar_reading import LARGEST_PAGE, SORTINGS, page_of, sort_key
from contract_tests.rules.rule import Rule
from contract_tests.rules.shared import LIMIT_KEPT, PAGES_COMPLETE, TOTAL_AGREES

_PAGINATION = "server/polar/kit/pagination.py:108-148"
_MOST_PAGES = 60
_BUDGET = 110

PAST_THE_END = Rule(
    "lists.past-the-end",
    "A page after the last one is empty, answered with 200, and has the true totals.",
    f"P4, P5; {_PAGINATION}",
    "pages after the last one",
    "",
    ("polar",),
)

MIRRORED = Rule(
    "lists.mirrored",
    "Sorting by -x is sorting by x the other way round, where no two wallets tie.",
    "P6; server/polar/kit/sorting.py:20-82",
    "pages that hold all wallets, with different values",
    "",
    ("polar",),
    frozenset({"wallet"}),
)


@dataclass
class Walk:
    """All pages of one size in one order, up to the first empty one."""

    limit: int
    sorting: str
    pages: list[Read] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """The ids of all pages, in order."""
        return [wallet_id for read in self.pages for wallet_id in read.page.ids]

    @property
    def described(self) -> str:
        """For sentences."""
        return f"at limit {self.limit}" + (f" sorted by {self.sorting}" if self.sorting else "")


@probe("polar", PAGES_COMPLETE, TOTAL_AGREES, PAST_THE_END, needs=["wallet"])
def walks(stage: Stage) -> None:
    """Every size of page that is worth its requests, then every order, in pages of several and in one."""
    reference = _walk(stage, LARGEST_PAGE, "")
    _judge(stage, reference, reference)
    total = len(set(reference.ids))
    plans = [(limit, "") for limit in (10, 7, 3, 2, 1)]
    plans += [(LARGEST_PAGE, sorting) for sorting in SORTINGS]
    plans += [(limit, sorting) for limit in (7, 3) for sorting in ("balance", "-balance", "created_at")]
    spent = 0
    for limit, sorting in plans:
        cost = total // limit + 2
        if cost > _MOST_PAGES or spent + cost > _BUDGET:
            continue
        spent += cost
        _judge(stage, _walk(stage, limit, sorting), reference)


def _walk(stage: Stage, limit: int, sorting: str) -> Walk:
    walk = Walk(limit, sorting)
    for number in range(1, _MOST_PAGES + 1):
        query = [("page", number), ("limit", limit)] + ([("sorting", sorting)] if sorting else [])
        walk.pages.append(page(stage, query))
        if not walk.pages[-1].page.items:
            return walk
    raise NotTested(f"the list goes on after {_MOST_PAGES} pages {walk.described}")


def _judge(stage: Stage, walk: Walk, reference: Walk) -> None:
    """Complete, every wallet once, and the same total on every page."""
    counts = Counter(walk.ids)
    twins = {wallet_id for wallet_id, count in counts.items() if count > 1}
    lost, more = set(reference.ids) - set(counts), set(counts) - set(reference.ids)
    evidence = [read.seen for read in walk.pages if not twins or twins & set(read.page.ids)]
    stage.judge(
        PAGES_COMPLETE,
        not twins and not lost and not more,
        "walking all pages does not give every wallet once",
        *((reference.pages[0].seen,) if walk is not reference else ()),
        *evidence,
        pointer="/items",
        expected=f"{len(set(reference.ids))} wallets, each once",
        got=f"{walk.described}: {len(twins)} twice, {len(lost)} missing, {len(more)} others",
    )
    for read in walk.pages:
        stage.judge(
            TOTAL_AGREES,
            read.page.total_count == len(set(reference.ids)),
            "total_count is not the number of wallets",
            read.seen,
            pointer="/pagination/total_count",
            expected=len(set(reference.ids)),
            got=f"{read.page.total_count} {walk.described}",
        )
    last = walk.pages[-1]
    stage.judge(
        PAST_THE_END,
        last.page.totals == walk.pages[0].page.totals,
        "the page after the last has other totals",
        walk.pages[0].seen,
        last.seen,
        pointer="/pagination",
    )


@probe("polar", PAST_THE_END)
def far_pages(stage: Stage) -> None:
    """Pages well after the last one; also of an empty list."""
    first = page(stage, [("limit", LARGEST_PAGE)])
    beyond = -(-first.page.total_count // LARGEST_PAGE) + 1
    for number in (beyond, beyond + 1, beyond + 1000):
        seen = ask(stage, [("page", number), ("limit", LARGEST_PAGE)])
        found = page_of(seen)
        stage.judge(
            PAST_THE_END,
            found is not None and not found.items and found.totals == first.page.totals,
            "not an empty page with the totals of the first",
            first.seen,
            seen,
            expected=f"200 without items, total_count and max_page {first.page.totals}",
            got=shown(seen),
        )


@probe("polar", LIMIT_KEPT)
def large_limits(stage: Stage) -> None:
    """More than 100 is answered exactly as 100."""
    hundred = page(stage, [("limit", LARGEST_PAGE)])
    for limit in (LARGEST_PAGE + 1, 1000, 2**31, 10**18):
        judge_same(stage, LIMIT_KEPT, "a limit above 100 is not answered as 100", hundred.seen, ask(stage, [("limit", limit)]))


@probe("polar", MIRRORED, needs=["wallet"])
def mirrors(stage: Stage) -> None:
    """Both directions of each criterion."""
    for name in ("created_at", "balance"):
        up, down = (page(stage, [("limit", LARGEST_PAGE), ("sorting", sorting)]) for sorting in (name, f"-{name}"))
        keys = [sort_key(item, name) for item in up.page.items]
        if len(keys) < 2 or len(keys) != up.page.total_count or None in keys or len(set(keys)) < len(keys):
            continue
        stage.judge(
            MIRRORED,
            up.page.ids == down.page.ids[::-1],
            f"-{name} is not {name} the other way round",
            up.seen,
            down.seen,
            pointer="/items",
            expected=up.page.ids[::-1],
            got=down.page.ids,
        )


@probe("polar", LATER_CRITERIA, needs=["wallet"])
def several_criteria(stage: Stage) -> None:
    """Sorted by two; a rule over single exchanges reads whether the second one breaks the ties of the first."""
    for first in SORTINGS:
        for second in SORTINGS:
            if first.lstrip("-") != second.lstrip("-"):
                page(stage, [("limit", LARGEST_PAGE), ("sorting", first), ("sorting", second)])
