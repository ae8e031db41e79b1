"""The mistakes this server can be told to make, at most one at a time."""

FAULTS: dict[str, str] = {
    # Flexprice
    "cents-rounding": "Balances in currency are rounded to two decimals whenever credits move.",
    "spending-rate": "A top-up given as an amount is turned into credits with conversion_rate, not topup_conversion_rate.",
    "pending-credited": "A purchase by invoice raises the balance at once, though its transaction stays pending.",
    "lost-update": "Top-ups read the balance, do slow work without the lock, and write back what they had read plus theirs.",
    "key-per-wallet": "Idempotency keys are unique within one wallet only, so another wallet accepts the same key.",
    "page-overlap": "Pages of transactions after the first begin one row early, so the last row of a page comes again.",
    "stale-read": "A wallet read by id is cached, and a top-up forgets to drop it from the cache.",
    "open-customer-lists": "The two lists of a customer's wallets were registered outside the group that checks keys.",
    "bare-errors": "A body that cannot be bound is answered by the framework, with an error text and no code.",
    "padded-decimals": "Lists of transactions pass on decimals as the database prints them, with all nine places.",
    # Polar
    "foreign-wallet": "One wallet is looked up by its id alone, whoever owns it.",
    "expired-session": "Only the existence of a session is checked, not when it ended.",
    "tied-pages": "Sorting by balance has no tie-breaker, so wallets of equal balance fall in another order on every page.",
    "max-page": "max_page is the count divided by the limit, plus one, even where nothing is left over.",
    "no-challenge": "401 answers lack WWW-Authenticate.",
}

_active: set[str] = set()


def switch_on(name: str) -> None:
    """Make the server commit this mistake from now on."""
    if name not in FAULTS:
        raise ValueError(f"unknown fault: {name}")
    _active.add(name)


def on(name: str) -> bool:
    """Whether this mistake is to be made."""
    assert name in FAULTS, name
    return name in _active
