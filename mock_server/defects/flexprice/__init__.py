"""Flexprice's defects."""

from mock_server.defects.flexprice import (
    auth,
    concurrency,
    errors,
    lists,
    money,
    protocol,
    rare,
    schema,
    state,
)

DEFECTS = tuple(
    defect
    for module in (schema, protocol, auth, errors, money, state, lists, concurrency, rare)
    for defect in module.book.defects
)
