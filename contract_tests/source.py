"""Data files read with their places kept, so that an error can say file, line and JSON pointer.

Documents, overlays and fixtures are YAML written by people. Reading keeps the composed nodes: a later
complaint about a value ("amount is no decimal") can point at the line it stands on. Only plain data comes
out: no tags, no objects, no code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

type_of_number = Callable[[str], Any]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_MAX_DEPTH = 200
_MAX_DIRECTIVES = 100  # the parser compares each with all before it
_MAX_DIGITS = 1_000
_MAX_NODES = 1_000_000  # aliases expand: a short file can describe a very large tree

Pointer = tuple[str | int, ...]


class InputError(Exception):
    """A user's file or option is wrong; the text is all that the user sees (exit code 2)."""


class SourceError(InputError):
    """Something in a data file is wrong: `file:line: pointer: what is wrong`."""


def json_pointer(pointer: Iterable[str | int]) -> str:
    """RFC 6901 text of a pointer; the whole document is `/`."""
    return "/" + "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in pointer)


class _Loader(yaml.CSafeLoader):
    """Refuses more than `most` nodes, and deep nesting: the C parser recurses, and would take the process with it."""

    def __init__(self, stream: str, most: int) -> None:
        super().__init__(stream)
        self._depth = 0
        self._left = most

    def descend_resolver(self, current_node: yaml.Node | None, current_index: Any) -> None:
        self._depth += 1
        self._left -= 1
        if self._left < 0:
            raise yaml.YAMLError("more values than are taken")
        if self._depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"nested more than {_MAX_DEPTH} deep")
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        self._depth -= 1
        super().ascend_resolver()


class Source:
    """One YAML file, or text that came in otherwise: its `data` as plain Python, and the line of every part of it.

    `path` is what errors call it, `digest` the SHA-256 of the text in hexadecimal. Numbers with a fraction become `number`
    (float for documents, Decimal for money in fixtures), whole ones `integer`; dates and other YAML specials stay text.
    Duplicate keys, which YAML readers usually swallow, are errors.
    """

    def __init__(
        self,
        path: Path,
        text: str | None = None,
        *,
        number: type_of_number = float,
        integer: type_of_number = int,
        most_values: int = _MAX_NODES,
    ) -> None:
        self.path = path
        self._number = number
        self._integer = integer
        self._most = most_values
        self._count = 0
        if text is None:
            text = _read(path)
        self.digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        try:
            self._root = _compose(text, 2 * most_values)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise SourceError(f"{path}{line}: this is not YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            problem = str(error).split("\n", 1)[0]
            raise SourceError(f"{path}: this is not YAML: {problem}") from None
        self.data: Any = None if self._root is None else self._plain(self._root, ())

    def line(self, pointer: Iterable[str | int]) -> int:
        """The line of the value at `pointer`, or of its nearest ancestor that exists."""
        node = self._root
        line = 1
        if node is None:
            return line
        line = node.start_mark.line + 1
        for step in pointer:
            found = _child(node, step)
            if found is None:
                break
            place, node = found
            line = place.start_mark.line + 1
        return int(line)

    def error(self, pointer: Iterable[str | int], problem: str) -> SourceError:
        """An error about the value at `pointer`, ready to raise."""
        pointer = tuple(pointer)
        return SourceError(f"{self.path}:{self.line(pointer)}: {json_pointer(pointer)}: {problem}")

    def _plain(self, node: yaml.Node, pointer: Pointer) -> Any:
        self._count += 1
        if self._count > self._most or len(pointer) > _MAX_DEPTH:
            raise SourceError(f"{self.path}: too large or too deeply nested (are aliases expanding?)")
        if not isinstance(node, yaml.ScalarNode) and node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._at(node, pointer, f"YAML tag {node.tag!r} is not allowed: plain data only")
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    raise self._at(key_node, pointer, "a key must be plain text")
                key = str(key_node.value)
                if key in mapping:
                    raise self._at(key_node, (*pointer, key), f"duplicate key {key!r}")
                mapping[key] = self._plain(value_node, (*pointer, key))
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*pointer, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, pointer)

    def _scalar(self, node: yaml.Node, pointer: Pointer) -> Any:
        text = str(node.value)
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "null":
                return None
            # YAML 1.1 reads yes/no/on/off as booleans and 1:30 as base 60; YAML 1.2, which OpenAPI asks for, does not.
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" if _INTEGER.fullmatch(text):
                if len(text) > _MAX_DIGITS:
                    raise self._at(node, pointer, f"a number of more than {_MAX_DIGITS} digits")
                return self._integer(text)
            case "float":
                try:
                    return self._number(text)
                except (ValueError, ArithmeticError):
                    return text
            case "str" | "bool" | "int" | "timestamp" | "value" | "merge":
                return text
            case tag:
                raise self._at(node, pointer, f"YAML tag {tag!r} is not allowed: plain data only")

    def _at(self, node: yaml.Node, pointer: Pointer, problem: str) -> SourceError:
        return SourceError(f"{self.path}:{node.start_mark.line + 1}: {json_pointer(pointer)}: {problem}")


def _compose(text: str, most: int) -> yaml.Node | None:
    """The nodes of a text; keys are some, too."""
    if len(_DIRECTIVE.findall(text)) > _MAX_DIRECTIVES:
        raise yaml.YAMLError(f"more than {_MAX_DIRECTIVES} lines begin with %")
    loader = _Loader(text, most)
    try:
        root: yaml.Node | None = loader.get_single_node()
        return root
    finally:
        loader.dispose()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceError(f"{path}: cannot be read: {reason}") from None


def exact_number(text: str) -> Decimal:
    """For `Source(number=...)`: a number with a fraction, kept exactly as written."""
    return Decimal(text)


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The place (key or item) and the value of a child node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def data_folder(module_file: str, name: str) -> Path:
    """A data folder: beside its package's modules when installed, at the top of the repository in a checkout."""
    package = Path(module_file).parent
    return package / name if (package / name).is_dir() else package.parent / name
