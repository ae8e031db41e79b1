"""Rules over sequences that mean the same for every provider. How each provider is asked is in its probes."""

from __future__ import annotations

from contract_tests.rules.rule import Rule

MISSING_KEY_REFUSED = Rule(
    "auth.missing-key-refused",
    "Every operation answers 401 to a request without credentials.",
    "`security` of both documents; I32; P14",
    "every operation of the contract",
    needs=frozenset({"credential"}),
)

WRONG_KEY_REFUSED = Rule(
    "auth.wrong-key-refused",
    "Every operation answers 401 to credentials that nobody issued (ours begin with `invalid`).",
    "`security` of both documents; I32",
    "every operation of the contract",
    needs=frozenset({"credential"}),
)

SAME_REFUSAL_FOR_ALL = Rule(
    "auth.same-refusal-for-all",
    "Whoever is refused learns nothing: the answer is the same whether the wallet exists or not.",
    "I32; P14; OWASP API Security, API1",
    "requests without credentials and with wrong ones, for known and unknown ids",
    "ids of requests and other headers that differ every time",
    needs=frozenset({"credential", "wallet"}),
)

EXPIRED_REFUSED = Rule(
    "auth.expired-refused",
    "Expired credentials get 401: never an answer, never 403.",
    "Flexprice internal/rest/middleware/auth.go:264; P15",
    "every read operation",
    needs=frozenset({"expired credential"}),
)

OTHERS_WALLETS_HIDDEN = Rule(
    "auth.others-wallets-hidden",
    "Nobody reads another's wallets: they are in no list, and asking for one answers exactly as for one that does not exist.",
    "P8; Flexprice reads are scoped to tenant and environment; OWASP API Security, API1",
    "two identities that own different wallets; in traffic of others, all that one key is shown (Flexprice)",
    "two keys of one tenant are one identity; in traffic, keys that recorders took out, and environments that a header chooses",
    needs=frozenset({"other identity", "wallet"}),
)

PAGES_COMPLETE = Rule(
    "lists.pages-complete",
    "Walking all pages gives every item exactly once, at any page size, also where the sort key ties.",
    "I24; P3",
    "every paged list, at several page sizes",
    "lists that answer everything at once whatever page is asked for (wallet search of the live Flexprice)",
)

TOTAL_AGREES = Rule(
    "lists.total-agrees",
    "The total counts all matches: it is the number of items that walking all pages gives, on every page.",
    "I24 and I25; P3, P5",
    "every paged list",
)

ORDER_HOLDS = Rule(
    "lists.order-holds",
    "Items come in the order that was asked for, or promised if none was.",
    "I24; P6, P7",
    "every list with an order",
    "equal keys may come either way round",
)

FILTERS_FILTER = Rule(
    "lists.filters-filter",
    "A filter leaves out everything that does not match, and nothing that does.",
    "parameters of the documents; Flexprice internal/repository/ent/wallet.go",
    "every filter that the service honours, against the unfiltered list; in traffic of others, the wallet of a list of"
    " transactions (Flexprice)",
    "filters that the live service is known to ignore: created_by, operator gte, mismatched operators (D13)",
)

LIMIT_KEPT = Rule(
    "lists.limit-kept",
    "No page holds more items than asked for, and limits beyond the allowed are clamped or refused as promised.",
    "I24; P4, P7; minimum and maximum of the documents",
    "every paged list",
    "limit=0 may mean the default (Flexprice); wallet search may ignore the limit (Flexprice D14)",
)

ITEM_EQUALS_GET = Rule(
    "lists.item-equals-get",
    "An item of a list says the same as reading it by its id.",
    "I31; P1",
    "items of every list whose entities can be read by id; in traffic of others, stored members of wallets with the same"
    " updated_at (Flexprice)",
    "values that move by themselves while nobody writes (real-time values, usage); in traffic, the alert state, and times"
    " that the service's clock may still have had",
    needs=frozenset({"wallet"}),
)

READS_REPEAT = Rule(
    "state.reads-repeat",
    "Reading twice while nothing changes gives the same answer, forty times over.",
    "P9; RFC 9110 section 9.2.1",
    "every read operation; in traffic of others, stored members of wallets with the same updated_at (Flexprice)",
    "real-time values of wallets that others use meanwhile; headers; in traffic, the alert state, and times that the service's"
    " clock may still have had",
    needs=frozenset({"wallet"}),
)

FIXED_FOREVER = Rule(
    "state.fixed-forever",
    "Id, customer, currency and creation time never change, whatever is done to a wallet; on Flexprice type and rates neither.",
    "Flexprice I28, internal/ee/service/wallet.go:1663-1736; P13",
    "updates, top-ups and terminations of wallets that the run created (Flexprice); in traffic of others, every wallet that is"
    " shown again",
    "in traffic: digits of rates and times that an answer from memory shows and none from the database",
    needs=frozenset({"write"}),
)

UNKNOWN_WALLET = Rule(
    "errors.unknown-wallet",
    "An id that nobody has is `not found`.",
    "404 of the documents; Flexprice not_found, Polar ResourceNotFound",
    "every operation on one wallet",
    "transactions of an unknown wallet may be an empty list, wallets of an unknown customer too (Flexprice D12)",
)

INVALID_REFUSED = Rule(
    "errors.invalid-refused",
    "A request that breaks a stated rule is refused with the provider's status for it, and changes nothing.",
    "400 (Flexprice) and 422 (Polar) of the documents",
    "requests with one mistake each",
    "forms that honest servers accept: null, JSON numbers for decimals, limit=0 (Flexprice)",
)

ODD_INPUT_SURVIVED = Rule(
    "robustness.odd-input-survived",
    "Boundary values, huge numbers, long and odd texts, unknown ids, repeated and unknown parameters get an answer below 500.",
    "no valid request gives 5xx: P9; 500 is for faults of the service",
    "every parameter of every operation that may be sent",
)
