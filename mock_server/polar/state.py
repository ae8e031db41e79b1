"""Polar's part of a world: what has happened to the customers of the opening, and those who came later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from mock_server.actions import Unknown
from mock_server.event_log import Event
from mock_server.notice import Notice
from mock_server.polar.entities import Customer, Token, Wallet
from mock_server.polar.events import CustomerAdded, TokenExpired, TokenIssued, WalletAdded, WalletChanged
from mock_server.polar.opening import Opening
from mock_server.world import World

_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PolarMemento:
    """What differs from the opening: customers, tokens, and the texts of those that were issued by their customer's name.

    `balances` are those of the customers' wallets by id: they may have more digits than whole numbers in JSON are read with.
    """

    customers: list[Customer]
    balances: dict[str, Decimal]
    tokens: list[Token]
    issued: dict[str, list[str]]


class PolarState:
    """A fold over events. Only what differs from the opening is kept."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._customers: dict[str, Customer] = {}  # added or changed, by name
        self._owners: dict[str, str] = {}  # their names by their ids, and by those of their wallets
        self._tokens: dict[str, Token] = {}  # issued or ended, by text
        self._issued: dict[str, list[str]] = {}  # texts by the customer's name

    def customer(self, reference: str) -> Customer:
        """A customer by name or id."""
        customer = self._named(reference) or self._named(self._owner(reference))
        if customer is None or reference not in (customer.id, customer.name):
            raise Unknown(f"no customer {reference[:60]!r}; there are {self._some_names()}")
        return customer

    def customers(self) -> Iterator[Customer]:
        """Those of the fixture file, and all that were added or changed."""
        names = dict.fromkeys([*self._opening.tokens, *self._customers, *self._issued])
        return (customer for name in names if (customer := self._named(name)))

    def wallet(self, reference: str) -> tuple[Customer, Wallet]:
        """A wallet as `customer.wallet` or by id, with its owner."""
        for owner, wallet in self._wallets_of(self._owner(reference)):
            if wallet.id == reference:
                return owner, wallet
        for dot in (place for place, character in enumerate(reference) if character == "."):
            for owner, wallet in self._wallets_of(reference[:dot]):
                if wallet.name == reference[dot + 1 :]:
                    return owner, wallet
        customer = self._named(reference.partition(".")[0])
        known = ", ".join(f"{customer.name}.{wallet.name}" for wallet in customer.wallets[:_NAMES_SHOWN]) if customer else ""
        hint = f"there are {known}" if known else "name it as `customer.wallet` or by its id"
        raise Unknown(f"no wallet {reference[:60]!r}; {hint}")

    def taken(self, reference: str) -> bool:
        """Whether a name or an id stands for something already."""
        return self._named(reference) is not None or self._owner(reference) != ""

    def token(self, text: str) -> Token | None:
        """What a token stands for; None if it was never given out."""
        return self._tokens.get(text) or self._opening.token(text)

    def tokens_of(self, customer: Customer) -> list[Token]:
        """All tokens that a customer was ever given, the oldest first."""
        first = self._opening.token_of(customer.name)
        texts = [first.text] if first else []
        found = (self.token(text) for text in [*texts, *self._issued.get(customer.name, ())])
        return [token for token in found if token]

    def signed_in(self, text: str, now: datetime) -> Customer | None:
        """Whose token it is; None if it is nobody's, or good no longer."""
        token = self._tokens.get(text) or self._opening.token(text)
        return self._named(token.customer) if token and not token.expired(now) else None

    def apply(self, event: Event) -> Iterable[Notice]:
        """Fold one event in. Nothing of it is told to anybody: the service has no webhooks about wallets."""
        match event:
            case CustomerAdded():
                self._add_customer(event)
            case WalletAdded():
                self._add_wallet(event)
            case WalletChanged():
                self._change_wallet(event)
            case TokenIssued():
                name = self.customer(event.customer).name
                self._tokens[event.token] = Token(event.token, name, event.expires_at)
                self._issued.setdefault(name, []).append(event.token)
            case TokenExpired():
                token = self.token(event.token)
                if token is None:
                    raise Unknown(f"no token {event.token[:60]!r}")
                self._tokens[event.token] = replace(token, expires_at=event.at)
        return ()

    def memento(self) -> PolarMemento:
        """Whose wallets belong to whom follows from the customers."""
        customers = list(self._customers.values())
        return PolarMemento(
            customers=[_with_balances(customer, {}) for customer in customers],
            balances={wallet.id: Decimal(wallet.balance) for customer in customers for wallet in customer.wallets},
            tokens=list(self._tokens.values()),
            issued=self._issued,
        )

    def recall(self, memento: PolarMemento) -> None:
        """All that was."""
        for customer in memento.customers:
            self._put(_with_balances(customer, memento.balances))
        self._tokens = {token.text: token for token in memento.tokens}
        self._issued = memento.issued

    def _add_customer(self, event: CustomerAdded) -> None:
        if self.taken(event.name) or self.taken(event.customer_id):
            raise ValueError(f"there is a customer {event.name!r} already")
        self._put(Customer(event.customer_id, event.name, event.session, event.role, ()))

    def _add_wallet(self, event: WalletAdded) -> None:
        customer = self.customer(event.customer)
        wallet = Wallet(event.wallet_id, event.name, customer.id, event.type, event.currency, 0, event.at, None)
        self._put(replace(customer, wallets=(*customer.wallets, wallet)))

    def _change_wallet(self, event: WalletChanged) -> None:
        customer = self.customer(event.customer)
        if all(wallet.id != event.wallet_id for wallet in customer.wallets):
            raise Unknown(f"no wallet {event.wallet_id[:60]!r}")
        wallets = tuple(
            replace(wallet, balance=wallet.balance + event.amount) if wallet.id == event.wallet_id else wallet
            for wallet in customer.wallets
        )
        self._put(replace(customer, wallets=wallets))

    def _put(self, customer: Customer) -> None:
        self._customers[customer.name] = customer
        for any_id in (customer.id, *(wallet.id for wallet in customer.wallets)):
            self._owners[any_id] = customer.name

    def _wallets_of(self, name: str) -> Iterator[tuple[Customer, Wallet]]:
        customer = self._named(name)
        return ((customer, wallet) for wallet in customer.wallets) if customer else iter(())

    def _named(self, name: str) -> Customer | None:
        return self._customers.get(name) or self._opening.customer(name)

    def _owner(self, any_id: str) -> str:
        """The name of the customer who has this id, or a wallet with it; empty if nobody has."""
        return self._owners.get(any_id) or self._opening.owners.get(any_id, "")

    def _some_names(self) -> str:
        names = [customer.name for customer in self.customers()]
        more = [f"{len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
        if self._opening.population:
            more.append(f"member 0 to member {self._opening.population - 1}")
        return ", ".join([*names[:_NAMES_SHOWN], *more])


def _with_balances(customer: Customer, balances: Mapping[str, Decimal]) -> Customer:
    wallets = tuple(replace(wallet, balance=int(balances.get(wallet.id, 0))) for wallet in customer.wallets)
    return replace(customer, wallets=wallets)


def polar_of(world: World) -> PolarState:
    """Polar's part of a world; Unknown where Polar is not served."""
    state = world.states.get("polar")
    if not isinstance(state, PolarState):
        raise Unknown("this server does not serve polar")
    return state
