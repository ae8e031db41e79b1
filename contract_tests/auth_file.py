"""Credentials from a Web Fuzzing Commons authentication file, as EvoMaster and Schemathesis read it.

https://github.com/WebFuzzing/Commons/blob/master/auth.md; YAML, JSON or TOML. Values may refer to the environment as
`${NAME}`, so that the file itself need hold no secret.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from contract_tests.auth_login import Fields, Login, Place
from contract_tests.identity import Identity
from contract_tests.source import InputError, Pointer, Source, SourceError, json_pointer

_TOP = ("schemaVersion", "auth", "authTemplate", "configs")
_USER = ("name", "fixedHeaders", "loginEndpointAuth", "requireMockHandling")


def read_auth_file(path: Path, base_url: str, http: httpx.Client) -> dict[str, Identity]:
    """Identities by role; logs in with `http` where the file says how. InputError with the place of whatever is wrong.

    `main` is the user of that name, else the first; `other` and `expired` are the users of these names, `other` else the
    next one. Endpoints are paths on the host of `base_url`.
    """
    place: Place = _Toml(path) if path.suffix.lower() == ".toml" else Source(path)
    return _Reader(place, base_url, http).identities()


class _Toml:
    """A TOML file; its reader keeps no lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.data: Any = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: this is not TOML: {error}") from None

    def error(self, pointer: Pointer, problem: str) -> InputError:
        return SourceError(f"{self._path}: {json_pointer(pointer)}: {problem}")


class _Reader(Fields):
    """Reads users, and gives them their roles."""

    def __init__(self, place: Place, base_url: str, http: httpx.Client) -> None:
        super().__init__(place)
        parts = urlsplit(base_url)
        self._login = Login(place, f"{parts.scheme}://{parts.netloc}", http)

    def identities(self) -> dict[str, Identity]:
        """By role."""
        users = self._users()
        roles: dict[str, str] = {name: name for name in ("other", "expired") if name in users}
        rest = [name for name in users if name not in roles]
        if not rest:
            raise self.place.error(("auth",), "expected a user besides those named other and expired")
        roles["main"] = "main" if "main" in rest else rest[0]
        rest.remove(roles["main"])
        if rest:
            roles.setdefault("other", rest[0])
        result: dict[str, Identity] = {}
        for role in ("main", "other", "expired"):
            if role in roles:
                pointer, user = users[roles[role]]
                variable = f"WALLETPROOF_{'' if role == 'main' else role.upper() + '_'}CREDENTIAL"
                result[role] = Identity(role, tuple(self._headers_of(pointer, user)), variable)
        return result

    def _users(self) -> dict[str, tuple[Pointer, dict[str, Any]]]:
        """Users by name, with what the template adds to them."""
        data = self.table((), self.place.data, _TOP)
        template = self.table(("authTemplate",), data.get("authTemplate") or {}, _USER)
        if "name" in template:
            raise self.place.error(("authTemplate", "name"), "expected no name: names are unique")
        listed = data.get("auth")
        if not isinstance(listed, list) or not listed:
            raise self.place.error(("auth",), "expected a list of users, each with a name")
        users: dict[str, tuple[Pointer, dict[str, Any]]] = {}
        for number, entry in enumerate(listed):
            pointer: Pointer = ("auth", number)
            user = self.table(pointer, entry, _USER)
            name = self.text(pointer, user, "name")
            if name in users:
                raise self.place.error((*pointer, "name"), f"there is another user named {name}")
            users[name] = (pointer, _merged(template, user))
        return users

    # ------------------------------------------------------------------ one user

    def _headers_of(self, pointer: Pointer, user: dict[str, Any]) -> list[tuple[str, str]]:
        if "fixedHeaders" not in user and "loginEndpointAuth" not in user:
            raise self.place.error(pointer, "expected fixedHeaders or loginEndpointAuth")
        headers = self.header_list((*pointer, "fixedHeaders"), user.get("fixedHeaders", []))
        if "loginEndpointAuth" in user:
            headers += self._login.headers((*pointer, "loginEndpointAuth"), user["loginEndpointAuth"], str(user["name"]))
        return headers


def _merged(template: Any, user: Any) -> Any:
    """What a user does not say, the template says, at any depth."""
    if isinstance(template, dict) and isinstance(user, dict):
        return {**template, **{name: _merged(template.get(name), value) for name, value in user.items()}}
    return template if user is None else user
