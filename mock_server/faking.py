"""Faker expressions in fixtures: `"{{company}} in {{city}}"`.

The same name under the same seed gives the same text. Faker is imported when the first expression is asked for: it is
a fifth of a second that a start, and a wallet that fakes nothing, need not pay.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mock_server.ids import Seed

if TYPE_CHECKING:
    from faker import Faker

_EXPRESSION = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_SCALARS = (str, int, float, Decimal, dt.date)


class UnknownProvider(ValueError):
    """A fixture names something that Faker cannot make without arguments."""


@lru_cache(maxsize=8)
def _faker(locale: str) -> Faker:
    from faker import Faker

    try:
        return Faker(locale, use_weighting=False)
    except AttributeError:
        raise UnknownProvider(f"Faker has no locale {locale!r}; examples: en_US, de_DE, ja_JP") from None


def check_locale(locale: str) -> None:
    """Raise UnknownProvider for a locale that Faker does not have."""
    _faker(locale)


@lru_cache(maxsize=256)
def _providers(locale: str) -> frozenset[str]:
    from faker.providers import BaseProvider

    names = {name for provider in _faker(locale).get_providers() for name in dir(provider)}
    return frozenset(name for name in names if not name.startswith("_")) - set(dir(BaseProvider))


def check(text: str, locale: str) -> None:
    """Raise UnknownProvider for an expression that Faker cannot evaluate."""
    for name in _EXPRESSION.findall(text):
        value = _value(name, locale) if name in _providers(locale) else None
        if not isinstance(value, _SCALARS):
            raise UnknownProvider(f"Faker has no provider {name!r} that makes text; see `faker --help` for their names")


def _value(name: str, locale: str) -> Any:
    try:
        return getattr(_faker(locale), name)()
    except TypeError:  # needs arguments
        return None


def has_expression(text: str) -> bool:
    """Whether a text holds a Faker expression."""
    return "{{" in text and _EXPRESSION.search(text) is not None


class Fake:
    """Evaluates expressions for one thing (a customer, a wallet): each is a function of seed, thing and text alone."""

    def __init__(self, seed: Seed, locale: str, *thing: str | int) -> None:
        self._seed = seed
        self._locale = locale
        self._thing = thing

    def __call__(self, text: str) -> str:
        if not has_expression(text):
            return text
        faker = _faker(self._locale)
        faker.seed_instance(self._seed.bits(64, "faker", *self._thing, text))
        return _EXPRESSION.sub(lambda match: str(getattr(faker, match[1])()), text)
