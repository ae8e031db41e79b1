"""Inventing replacements: each is drawn from the seed and how many of its kind came before, never from what it replaces.

So nobody who has a replacement, and the seed, can find out what it stands for, or check a guess.
"""

from __future__ import annotations

import ipaddress
import string
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from contract_tests.traffic.kinds import Kind

if TYPE_CHECKING:
    from faker import Faker

_TRIES = 8
# For documentation (RFC 5737) and, when those are used up, for benchmarks (RFC 2544): no host on the internet has them.
_NETWORKS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")


@lru_cache(maxsize=1)
def _faker() -> Faker:
    # Imported when something is invented: most runs have nothing to replace.
    from faker import Faker

    return Faker("en_US", use_weighting=False)


class Invention:
    """Invents texts in plain ASCII; the same calls under the same seed give the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count: Counter[str] = Counter()

    def text(self, kind: Kind, original: str, taken: Callable[[str], bool]) -> str:
        """Something of a kind that is not taken. Of the original only the form counts: how many words, how many digits."""
        return self._drawn(kind.value, lambda faker, random: _MAKERS[kind](original, faker, random), taken)

    def word(self, taken: Callable[[str], bool], *, last: bool) -> str:
        """A word of a person's name."""
        return self._drawn(
            "last name" if last else "first name", lambda faker, _: faker.last_name() if last else faker.first_name(), taken
        )

    def _drawn(self, what: str, make: Callable[[Faker, Random], str], taken: Callable[[str], bool]) -> str:
        self._count[what] += 1
        number = self._count[what]
        faker = _faker()
        made = ""
        for attempt in range(_TRIES):
            drawn = f"{self._seed}/{what}/{number}/{attempt}"
            faker.seed_instance(drawn)
            made = make(faker, Random(drawn))  # noqa: S311 - nothing is protected by it
            if not taken(made):
                return made
        # All that Faker knows is in use: numbered from here on.
        name, at, host = made.partition("@")
        while taken(made := f"{name}-{number}{at}{host}"):
            number += 1
        return made


def _text(original: str, faker: Faker) -> str:
    words = len(original.split())
    if words <= 1:
        return str(faker.word())
    return str(faker.catch_phrase() if words <= 4 else faker.sentence(nb_words=min(words, 12)))


def _address(original: str, random: Random) -> str:
    if ":" in original:
        return str(ipaddress.IPv6Address("2001:db8::") + random.getrandbits(64))
    network = ipaddress.ip_network(random.choice(_NETWORKS))
    return str(network[random.randrange(1, network.num_addresses - 1)])


def _alike(original: str, random: Random) -> str:
    """Digits for digits and letters for letters; the first digit is not zero, for where it is a number of JSON."""
    made: list[str] = []
    for sign in original:
        if sign.isdigit():
            made.append(random.choice(string.digits if any(map(str.isdigit, made)) else "123456789"))
        elif sign.isalpha():
            made.append(random.choice(string.ascii_uppercase))
        else:
            made.append(sign if sign.isascii() and sign not in '"\\' else "-")
    return "".join(made)


def _letters(random: Random) -> str:
    return "".join(random.choice(string.ascii_lowercase + string.digits) for _ in range(8))


_MAKERS: Mapping[Kind, Callable[[str, Faker, Random], str]] = {
    Kind.EMAIL: lambda _, faker, __: faker.ascii_safe_email(),
    Kind.COMPANY: lambda _, faker, __: faker.company(),
    Kind.USER_NAME: lambda _, faker, __: faker.user_name(),
    Kind.PHONE: lambda _, faker, __: faker.numerify("+1-###-555-01##"),  # kept free for fiction
    Kind.STREET: lambda _, faker, __: faker.street_address(),
    Kind.CITY: lambda _, faker, __: faker.city(),
    Kind.STATE: lambda _, faker, __: faker.state(),
    Kind.COUNTRY: lambda *_: "Examplia",
    Kind.POSTAL_CODE: lambda _, faker, __: faker.postcode(),
    Kind.BIRTHDAY: lambda _, faker, __: faker.date_of_birth(minimum_age=18, maximum_age=90).isoformat(),
    Kind.IP: lambda original, _, random: _address(original, random),
    Kind.NUMBER: lambda original, _, random: _alike(original, random),
    Kind.URL: lambda _, __, random: f"https://example.com/{_letters(random)}",
    Kind.IDENTIFIER: lambda _, __, random: f"ref-{_letters(random)}",
    Kind.TEXT: lambda original, faker, _: _text(original, faker),
}
