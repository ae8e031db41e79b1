"""Authentication files of the Web Fuzzing Commons: who they say is who, logins, and what is said of mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from contract_tests.auth_file import read_auth_file
from contract_tests.identity import Identity
from contract_tests.source import InputError

SECRET = "s3cret-Passw0rd"


class Service(BaseHTTPRequestHandler):
    """Takes logins by JSON, form and header; answers with a token in the body, in a header, and in cookies."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(401 if b"wrong" in body else 200)
        self.send_header("X-Token", "from-header")
        self.send_header("Set-Cookie", "sid=abc; Path=/; HttpOnly")
        self.send_header("Set-Cookie", "theme=dark")
        answer = json.dumps({"data": {"tokens": [{"value": "from/body"}]}, "number": 7}).encode()
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def __getattr__(self, name: str) -> Any:
        if name in ("do_POST", "do_PUT"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The URL of something to log in to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


Read = Callable[..., dict[str, Identity]]


@pytest.fixture
def read(tmp_path: Path, service: str) -> Read:
    """Write a file and read it."""

    def reading(text: str, name: str = "auth.yaml") -> dict[str, Identity]:
        path = tmp_path / name
        path.write_text(text)
        with httpx.Client() as http:
            return read_auth_file(path, f"{service}/v1/api", http)

    return reading


def fixed(*names: str) -> str:
    """A file in which each user has a header of its own."""
    return json.dumps({"auth": [{"name": n, "fixedHeaders": [{"name": "X-API-Key", "value": f"key-of-{n}"}]} for n in names]})


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (["foo"], {"main": "foo"}),
        (["foo", "bar", "third"], {"main": "foo", "other": "bar"}),
        (["foo", "bar", "other"], {"main": "foo", "other": "other"}),
        (["foo", "expired"], {"main": "foo", "expired": "expired"}),
        (["expired", "other", "foo"], {"main": "foo", "other": "other", "expired": "expired"}),
        (["foo", "main"], {"main": "main", "other": "foo"}),
    ],
)
def test_roles(read: Read, names: list[str], roles: dict[str, str]) -> None:
    """The first user is main, the next one the other; names may say otherwise."""
    found = read(fixed(*names))
    assert {role: identity.headers for role, identity in found.items()} == {
        role: (("x-api-key", f"key-of-{name}"),) for role, name in roles.items()
    }
    assert all(identity.name == role for role, identity in found.items())
    assert found["main"].secrets == (f"key-of-{roles['main']}",)


def test_environment(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values may stand in the environment."""
    monkeypatch.setenv("MY_TOKEN", SECRET)
    found = read('auth: [{name: a, fixedHeaders: [{name: Authorization, value: "Bearer ${MY_TOKEN}"}]}]')
    assert found["main"].headers == (("authorization", f"Bearer {SECRET}"),)
    assert SECRET not in repr(found)


LOGIN = """
auth:
  - name: foo
    loginEndpointAuth:
      payloadRaw: '{"u": "foo"}'
  - name: bar
    loginEndpointAuth:
      payloadUserPwd: {username: bar, password: "4 6&", usernameField: u, passwordField: p}
      contentType: application/x-www-form-urlencoded
authTemplate:
  loginEndpointAuth:
    endpoint: /login
    verb: POST
    headers: [{name: X-Client, value: walletproof}]
    TOKEN
"""


TOKEN = "token: {extractFrom: body, sendIn: header, sendName: A, "


def login(text: str) -> str:
    """The file, with this for how the token is found and sent."""
    return LOGIN.replace("TOKEN", text)


@pytest.mark.parametrize(
    ("token", "header"),
    [
        ("expectCookies: true", ("cookie", "sid=abc; theme=dark")),
        (
            TOKEN + 'extractSelector: /data/tokens/0/value, sendTemplate: "T {token}"}',
            ("a", "T from/body"),
        ),
        (
            "token: {extractFrom: header, extractSelector: x-token, sendIn: header, sendName: X-Auth}",
            ("x-auth", "from-header"),
        ),
        ("token: {extractFrom: body, extractSelector: /number, sendIn: cookie, sendName: sid}", ("cookie", "sid=7")),
        (
            'token: {extractFromField: /number, httpHeaderName: Authorization, headerPrefix: "JWT ", headerPostfix: "!"}',
            ("authorization", "JWT 7!"),
        ),
        ("token: {extractFromHeader: X-Token, httpHeaderName: X-Auth}", ("x-auth", "from-header")),
    ],
)
def test_login(read: Read, token: str, header: tuple[str, str]) -> None:
    """Each user logs in once, as nobody; what the answer has is what is sent from then on."""
    Service.seen.clear()
    found = read(login(token))
    assert found["main"].headers == found["other"].headers == (header,)
    (_, path, first, raw), (_, _, second, form) = Service.seen
    assert path == "/login"
    assert first["x-client"] == "walletproof"
    assert (first["content-type"], raw) == ("application/json", b'{"u": "foo"}')
    assert (second["content-type"], form) == ("application/x-www-form-urlencoded", b"u=bar&p=4+6%26")
    assert "cookie" not in second


def test_login_elsewhere(read: Read, service: str) -> None:
    """The login may be on another host."""
    Service.seen.clear()
    read(login("expectCookies: true").replace("endpoint: /login", f"externalEndpointURL: {service}/there").replace("POST", "PUT"))
    assert [(method, path) for method, path, *_ in Service.seen] == [("PUT", "/there")] * 2


def test_toml(read: Read) -> None:
    """TOML says the same."""
    text = '[[auth]]\nname = "foo"\n[[auth.fixedHeaders]]\nname = "X-API-Key"\nvalue = "k"\n'
    assert read(text, "auth.toml")["main"].headers == (("x-api-key", "k"),)
    with pytest.raises(InputError, match=r"auth\.toml: /auth/0/name: expected a text"):
        read("[[auth]]\n", "auth.toml")


COOKIES = login("expectCookies: true")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", r"auth\.yaml:1: /: expected an object with schemaVersion, auth, authTemplate, configs"),
        ("auth: []", r"auth\.yaml:1: /auth: expected a list of users"),
        ("auth:\n- name: a\n  colour: red", r"auth\.yaml:3: /auth/0/colour: unknown; there are name, fixedHeaders"),
        ("auth:\n- name: a", r"auth\.yaml:2: /auth/0: expected fixedHeaders or loginEndpointAuth"),
        (f"auth:\n- name: {SECRET}1\n- name: {SECRET}1", r"auth\.yaml:3: /auth/1/name: there is another user"),
        ("auth: [{name: other, fixedHeaders: []}]", r"/auth: expected a user besides"),
        (
            "auth:\n- name: a\n  fixedHeaders:\n  - name: X\n    value: 1234567",
            r"yaml:5: .*/value: expected a text: put it in quotes",
        ),
        ("auth:\n- name: a\n  fixedHeaders:\n  - name: 'X Y'\n    value: v", r"yaml:4: .*: expected the name of an HTTP header"),
        ('auth:\n- name: a\n  fixedHeaders:\n  - name: X\n    value: "a\\nb"', r"yaml:4: .*: expected a value that can be sent"),
        ("auth:\n- name: a\n  fixedHeaders:\n  - name: X\n    value: ${NOT_SET_1}", r"yaml:5: .*NOT_SET_1 is not set"),
        ("auth: [{name: a, fixedHeaders: []}]\nauthTemplate: {name: b}", r"yaml:2: /authTemplate/name: expected no name"),
        (COOKIES.replace("POST", "FETCH"), r"/verb: expected one of POST, GET, PATCH, DELETE, PUT"),
        (COOKIES.replace("/login", "login"), r"/endpoint: expected a path such as /login"),
        (COOKIES.replace("endpoint: /login", "externalEndpointURL: ftp://x"), r"/externalEndpointURL: expected a URL"),
        (COOKIES.replace("endpoint: /login", "headers: []"), r"duplicate key 'headers'"),
        (COOKIES.replace("x-www-form-urlencoded", "xml"), r"/contentType: expected application/json or"),
        (login("expectCookies: false"), r"expected a token, or expectCookies: true"),
        (login("expectCookies: 1"), r"/expectCookies: expected true or false"),
        (login("token: {extractFrom: mind}"), r"/token/extractFrom: expected one of body, header"),
        (login("token: {extractFromField: /none, httpHeaderName: X}"), r"the login of foo has no token at body /none"),
        (
            login("token: {extractFrom: body, extractSelector: /number, sendIn: query, sendName: t}"),
            r"/token/sendIn: expected one of header, cookie",
        ),
        (
            login("token: {extractFrom: body, extractSelector: /number, sendIn: header, sendName: t, sendTemplate: x}"),
            r"/token/sendTemplate: expected \{token\} in it",
        ),
        (COOKIES.replace('"foo"', f'"wrong {SECRET}"'), r"yaml:4: .*the login of foo was answered with 401"),
        (
            COOKIES.replace("endpoint: /login", "externalEndpointURL: http://127.0.0.1:9/"),
            r"the login of foo failed: ConnectError",
        ),
    ],
)
def test_mistakes(read: Read, text: str, message: str) -> None:
    """Each is said with its place and what was expected, and without any value."""
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert SECRET not in str(caught.value).replace(f"{SECRET}1", "")
    assert "1234567" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is said so."""
    for name in ("none.yaml", "none.toml"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            read_auth_file(tmp_path / name, "http://127.0.0.1", httpx.Client())
