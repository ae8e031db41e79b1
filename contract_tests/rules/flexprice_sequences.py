"""Flexprice's rules over sequences that are judged both on a run's own wallets and in the traffic of others.

How a run's own wallets are judged is in the probes; how traffic is judged, where nothing can be asked again and anybody may
write, is in `flexprice_history` and `flexprice_writes`. Rules that need wallets of one's own are with their probes.

Sources: `I1` to `I32` are the invariants of the service as read from its public repository, flexprice/flexprice at commit
e4b5303fde24, `D1` to `D24` its deviations from its own document; files named here are that repository's.
"""

from __future__ import annotations

from contract_tests.rules.flexprice import ONLY
from contract_tests.rules.rule import WRITES, Rule

_SERVICE = "internal/ee/service/wallet.go"

NEW_WALLET_DEFAULTS = Rule(
    "state.new-wallet-defaults",
    "A new wallet is active, empty, in alert state ok, named after its type and currency, and pays what its type pays.",
    "I29; internal/api/dto/wallet.go:118-182",
    "wallets that the run creates; in traffic of others, the answer to every creation",
    "in traffic: the name and what it pays where the request asks for others; all but `active` where credits come with it",
    ONLY,
    WRITES,
)
SENT_IS_KEPT = Rule(
    "state.sent-is-kept",
    "What is sent on creation or top-up comes back as it was sent; currencies in lower case.",
    "I27, I29; internal/api/dto/wallet.go",
    "wallets and top-ups of the run; in traffic of others, the answer to every creation and top-up",
    "in traffic: digits beyond those that are stored; what price_unit overrides; members that a service adds to a row's metadata",
    ONLY,
    WRITES,
)
CREATED_IS_FOUND = Rule(
    "state.created-is-found",
    "A created wallet is found by id, in search and among its customer's wallets, and says the same everywhere.",
    "I31; internal/repository/ent/wallet.go",
    "wallets that the run creates; in traffic of others, reads by id with credentials that were shown the wallet before",
    "a lag of as long as --settle says; other credentials, which may be another tenant's or environment's",
    ONLY,
    WRITES,
)
UPDATE_MERGES = Rule(
    "state.update-merges",
    "An update changes what it names and nothing else; metadata is replaced as a whole; reading shows it.",
    f"I28; {_SERVICE}:1663-1736",
    "wallets that the run creates; in traffic of others, what an update's answer shows of what was sent, and later reads that"
    " show the wallet as it was before",
    "in traffic: empty values, which may be echoed and not stored (D20); a lag of as long as --settle says",
    ONLY,
    WRITES,
)
TERMINATE_CLOSES = Rule(
    "state.terminate-closes",
    "Terminating closes a wallet for good: it stays readable, leaves its customer's list, and a second time is refused.",
    f"I22; {_SERVICE}:1605-1652",
    "wallets that the run created; in traffic of others, wallets that were terminated or shown as closed",
    "a lag of as long as --settle says; terminate may answer with a message (D1); top-ups of closed wallets (D11)",
    ONLY,
    WRITES,
)
CUSTOMER_LISTS = Rule(
    "lists.customer-lists",
    "A customer's wallets are just the customer's own, active ones, by either way of asking for them.",
    "I22; internal/ee/service/wallet.go:277-294,2524-2581",
    "customers of wallets that can be read, and of the run's own; in traffic of others, every such list by itself",
    "the order",
    ONLY,
)
TOPUP_ADDS = Rule(
    "money.top-up-adds",
    "A direct top-up of c credits, with b as bonus, raises credit_balance by exactly c + b; a read right after it shows that.",
    f"I18; {_SERVICE}:570-757",
    "top-ups of wallets that the run created; in traffic of others, later reads that show the wallet as it was before",
    "a lag of as long as --settle says; in traffic, a second by which clocks of several servers may differ",
    ONLY,
    WRITES,
)
TOPUP_BOOKED = Rule(
    "money.top-up-booked",
    "A top-up of c credits, with b as bonus, books one row of c and one of b, and the answer's row is the one that is listed.",
    f"I18; {_SERVICE}:570-757",
    "top-ups of wallets that the run created; in traffic of others, the row of every answer, and later lists without filter",
    "the class of bonus rows; rows that automatic top-up adds; a lag of as long as --settle says; a row that was there before",
    ONLY,
    WRITES,
)
AMOUNT_CONVERTED = Rule(
    "money.amount-becomes-credits",
    "A top-up by amount brings amount / topup_conversion_rate credits.",
    "internal/api/dto/wallet.go:360-388",
    "top-ups by amount of wallets that the run created; in traffic of others, the answer to every top-up by amount",
    "how many digits the division keeps, beyond 9",
    ONLY,
    WRITES,
)
KEY_TAKES_EFFECT_ONCE = Rule(
    "money.key-takes-effect-once",
    "An idempotency key that was used is refused, on any wallet, and nothing changes: no balance, no row.",
    "I20; ent/schema/wallettransaction.go:173-178",
    "top-ups that use a key again, one after the other; in traffic of others, all rows of one tenant and environment",
    "409 or 400 of the same meaning; in traffic, services that answer with the row that is there already",
    ONLY,
    WRITES,
)
PENDING_CHANGES_NOTHING = Rule(
    "money.pending-changes-nothing",
    "A purchase that waits for its invoice is a pending row with an invoice_id, and leaves the stored balances as they were.",
    f"I30, I12; {_SERVICE}:570-757",
    "PURCHASED_CREDIT_INVOICED top-ups of the run; in traffic of others, the invoice_id alone",
    "tenants that complete such purchases at once (the row is completed then); the real-time balance, which may fall; in"
    " traffic, purchases with checkout",
    ONLY,
    WRITES,
)
SAME_KEY_AT_ONCE = Rule(
    "concurrency.same-key-at-once",
    "The same idempotency key sent several times at the same moment takes effect once.",
    "I20; ent/schema/wallettransaction.go:173-178",
    "six top-ups at once with one key on a wallet that the run created; in traffic of others, top-ups that overlap",
    "which of them is answered with success; in traffic, services that answer with the row that is there already",
    ONLY,
    WRITES,
)
ROWS_STAY = Rule(
    "money.rows-stay",
    "A transaction stays what it was: wallet, type, amounts, reason and time; once it is completed, status and balances too;"
    " and none goes.",
    "I10, I11, I24; internal/domain/wallet/transaction.go",
    "traffic of others: rows that are shown again, and lists without filter",
    "credits_available, which falls; metadata, description and expiry; a lag of as long as --settle says",
    ONLY,
)
NEVER_GOES_BACK = Rule(
    "state.never-goes-back",
    "A wallet is never shown as it was before what was shown of it earlier: its updated_at does not fall.",
    "I27, I31; a write sets updated_at, and clears what is cached",
    "traffic of others: wallets that are read again",
    "a lag of as long as --settle says; a second by which clocks of several servers may differ; answers to updates (D20)",
    ONLY,
)
