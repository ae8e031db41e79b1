"""Values of an authentication file, and the logins that it may describe. No message repeats a value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx

from contract_tests.source import InputError, Pointer

_VERBS = ("POST", "GET", "PATCH", "DELETE", "PUT")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"

_WHERE = ("endpoint", "externalEndpointURL", "verb", "contentType", "headers")
_LOGIN = (*_WHERE, "payloadRaw", "payloadUserPwd", "token", "expectCookies")
_PAYLOAD = ("username", "password", "usernameField", "passwordField")
_TOKEN = ("extractFrom", "extractSelector", "sendIn", "sendName", "sendTemplate")
_EARLIER = ("extractFromField", "extractFromHeader", "httpHeaderName", "headerPrefix", "headerPostfix")


class Place(Protocol):
    """A file that was read, and can say where something in it stands."""

    data: Any

    def error(self, pointer: Pointer, problem: str) -> InputError: ...


class Fields:
    """Reads values of a file, and says where it found what it did not expect."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def table(self, pointer: Pointer, data: Any, names: tuple[str, ...]) -> dict[str, Any]:
        """An object that has no members but these."""
        if not isinstance(data, dict):
            raise self.place.error(pointer, f"expected an object with {', '.join(names)}")
        for name in data:
            if name not in names:
                raise self.place.error((*pointer, name), f"unknown; there are {', '.join(names)}")
        return data

    def text(self, pointer: Pointer, data: dict[str, Any], name: str, *, strip: bool = True) -> str:
        """A member that is a text, with the environment's values put in; not empty, unless it is taken as it stands."""
        value = data.get(name)
        at = (*pointer, name)
        if not isinstance(value, str):
            raise self.place.error(at, "expected a text" + ("" if value is None else ": put it in quotes"))
        found = _VARIABLE.sub(lambda match: self._variable(at, match[1], os.environ), value)
        if strip and not found.strip():
            raise self.place.error(at, "expected a text that is not empty")
        return found

    def _variable(self, pointer: Pointer, name: str, environment: Mapping[str, str]) -> str:
        if not environment.get(name):
            raise self.place.error(pointer, f"the environment variable {name} is not set")
        return environment[name]

    def choice(self, pointer: Pointer, data: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
        """A member that is one of several words."""
        value = data.get(name)
        if value not in choices:
            raise self.place.error((*pointer, name), f"expected one of {', '.join(choices)}")
        return str(value)

    def header_list(self, pointer: Pointer, data: Any) -> list[tuple[str, str]]:
        """Headers, each an object with name and value."""
        if not isinstance(data, list):
            raise self.place.error(pointer, "expected a list of headers, each with name and value")
        result = []
        for number, entry in enumerate(data):
            at = (*pointer, number)
            header = self.table(at, entry, ("name", "value"))
            result.append(self.header(at, self.text(at, header, "name"), self.text(at, header, "value")))
        return result

    def header(self, pointer: Pointer, name: str, value: str) -> tuple[str, str]:
        """One that can be sent."""
        if not _HEADER_NAME.fullmatch(name):
            raise self.place.error(pointer, "expected the name of an HTTP header")
        if any(ord(character) < 32 or ord(character) > 255 for character in value):
            raise self.place.error(pointer, "expected a value that can be sent in an HTTP header: no control characters, Latin-1")
        return name.lower(), value.strip()


class Login(Fields):
    """Logs users in. Endpoints are paths at `origin`."""

    def __init__(self, place: Place, origin: str, http: httpx.Client) -> None:
        super().__init__(place)
        self._origin = origin
        self._http = http

    def headers(self, pointer: Pointer, data: Any, user: str) -> list[tuple[str, str]]:
        """What a user who has logged in sends with every request."""
        login = self.table(pointer, data, _LOGIN)
        cookies = login.get("expectCookies", False)
        if not isinstance(cookies, bool):
            raise self.place.error((*pointer, "expectCookies"), "expected true or false")
        if not cookies and "token" not in login:
            raise self.place.error(pointer, "expected a token, or expectCookies: true")
        answer = self._logged_in(pointer, login, user)
        headers = [self._token((*pointer, "token"), login["token"], answer, user)] if "token" in login else []
        if cookies:
            pairs = [f"{cookie.name}={cookie.value}" for cookie in answer.cookies.jar]
            if not pairs:
                raise self.place.error((*pointer, "expectCookies"), f"the login of {user} set no cookie")
            headers.append(("cookie", "; ".join(pairs)))
        return headers

    def _logged_in(self, pointer: Pointer, login: dict[str, Any], user: str) -> httpx.Response:
        verb = self.choice(pointer, login, "verb", _VERBS)
        url = self._url(pointer, login)
        kind, body = self._payload(pointer, login)
        headers = dict(self.header_list((*pointer, "headers"), login.get("headers", [])))
        if body is not None:
            headers.setdefault("content-type", kind)
        self._http.cookies.clear()  # each user logs in as nobody
        try:
            answer = self._http.request(verb, url, headers=headers, content=body, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.place.error(pointer, f"the login of {user} failed: {type(error).__name__}") from None
        finally:
            self._http.cookies.clear()
        if answer.status_code >= 400:
            raise self.place.error(pointer, f"the login of {user} was answered with {answer.status_code}")
        return answer

    def _url(self, pointer: Pointer, login: dict[str, Any]) -> str:
        given = [name for name in ("endpoint", "externalEndpointURL") if name in login]
        if len(given) != 1:
            raise self.place.error(pointer, "expected either endpoint or externalEndpointURL")
        url = self.text(pointer, login, given[0])
        if given[0] == "endpoint":
            if not url.startswith("/"):
                raise self.place.error((*pointer, "endpoint"), "expected a path such as /login")
            return self._origin + url
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise self.place.error((*pointer, "externalEndpointURL"), "expected a URL such as https://login.example.com/token")
        return url

    def _payload(self, pointer: Pointer, login: dict[str, Any]) -> tuple[str, bytes | None]:
        """Content type and body of the login."""
        kind = self.text(pointer, login, "contentType") if "contentType" in login else _JSON
        if "payloadRaw" in login and "payloadUserPwd" in login:
            raise self.place.error(pointer, "expected one of payloadRaw and payloadUserPwd")
        if "payloadRaw" in login:
            return kind, self.text(pointer, login, "payloadRaw").encode()
        if "payloadUserPwd" not in login:
            return kind, None
        at = (*pointer, "payloadUserPwd")
        payload = self.table(at, login["payloadUserPwd"], _PAYLOAD)
        values = {name: self.text(at, payload, name) for name in _PAYLOAD}
        fields = {values["usernameField"]: values["username"], values["passwordField"]: values["password"]}
        if kind.partition(";")[0].strip().lower() == _FORM:
            return kind, urlencode(fields).encode()
        if kind.partition(";")[0].strip().lower() == _JSON:
            return kind, json.dumps(fields).encode()
        raise self.place.error((*pointer, "contentType"), f"expected {_JSON} or {_FORM} for payloadUserPwd")

    # ------------------------------------------------------------------ tokens

    def _token(self, pointer: Pointer, data: Any, answer: httpx.Response, user: str) -> tuple[str, str]:
        """The header that carries the token."""
        token = self.table(pointer, data, (*_TOKEN, *_EARLIER))
        if "extractFrom" in token or "extractSelector" in token:
            source = self.choice(pointer, token, "extractFrom", ("body", "header"))
            selector = self.text(pointer, token, "extractSelector")
        elif "extractFromHeader" in token:
            source, selector = "header", self.text(pointer, token, "extractFromHeader")
        else:
            source, selector = "body", self.text(pointer, token, "extractFromField")
        value = answer.headers.get(selector) if source == "header" else _found(answer, selector)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise self.place.error(pointer, f"the answer to the login of {user} has no token at {source} {selector}")
        if "sendName" in token or "sendIn" in token:
            where = self.choice(pointer, token, "sendIn", ("header", "cookie"))
            name = self.text(pointer, token, "sendName")
            template = self.text(pointer, token, "sendTemplate") if "sendTemplate" in token else "{token}"
            if "{token}" not in template:
                raise self.place.error((*pointer, "sendTemplate"), "expected {token} in it, such as Bearer {token}")
            sent = template.replace("{token}", str(value))
            return self.header(pointer, *(("cookie", f"{name}={sent}") if where == "cookie" else (name, sent)))
        prefix, postfix = (
            self.text(pointer, token, name, strip=False) if name in token else "" for name in ("headerPrefix", "headerPostfix")
        )
        return self.header(pointer, self.text(pointer, token, "httpHeaderName"), f"{prefix}{value}{postfix}")


def _found(answer: httpx.Response, pointer: str) -> Any:
    """What a JSON pointer leads to in an answer; None if it leads nowhere."""
    try:
        value: Any = answer.json()
    except ValueError:
        return None
    for step in pointer.removeprefix("/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return None
    return value
