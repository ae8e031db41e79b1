"""The scenarios that come with the mock, one file each, called by its name."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from contract_tests.source import InputError, SourceError
from mock_server.scenarios.reading import Reader, source_of
from mock_server.scenarios.scenario import Scenario


class Library:
    """The files of a folder. Nothing is read before it is asked for.

    What speaks of a provider, an operation or a wallet that this server has not is left out: it may have been started with
    other documents and fixtures.
    """

    def __init__(self, folder: Path, reader: Reader) -> None:
        self._folder = folder
        self._reader = reader

    @cached_property
    def scenarios(self) -> dict[str, Scenario]:
        """All that can be told here, by name."""
        return {name: found for name, found in self._files.items() if isinstance(found, Scenario)}

    def named(self, name: str) -> Scenario:
        """One of them; InputError if there is none of that name, or why it cannot be told here."""
        found = self._files.get(name)
        if found is None:
            raise InputError(f"unknown scenario {name[:60]!r}; there are {', '.join(self.scenarios)}")
        if isinstance(found, Scenario):
            return found
        raise found

    def find(self, name: str) -> Scenario:
        """One of them by name, or the one in a file of the user's own."""
        path = Path(name)
        if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
            return self._reader.read(source_of(path))
        return self.named(name)

    @cached_property
    def _files(self) -> dict[str, Scenario | SourceError]:
        files: dict[str, Scenario | SourceError] = {}
        for path in sorted(self._folder.glob("*.yaml")):
            try:
                files[path.stem] = self._reader.read(source_of(path))
            except SourceError as error:
                files[path.stem] = error
        return files
