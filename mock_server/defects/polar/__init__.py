"""Polar's defects."""

from mock_server.defects.polar import access, answers, lists, rare

DEFECTS = tuple(
    defect
    for book in (answers.schema, answers.protocol, access.auth, access.errors, lists.book, rare.book)
    for defect in book.defects
)
