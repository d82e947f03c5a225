"""Posting to a real server on this machine: what arrives, which answers are tried again, what stays secret."""

import base64
import json
import socket
import threading

import pytest

from edge_app.actions.receiver import DeliveryError
from edge_app.actions.webhook import Webhook
from edge_app.core.errors import SedgeError
from tests.actions.receivers import an_occasion, nobody, receiver, silent_server

SECRET = "T0P-s3cret"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def failure(url: str, timeout_s: float = 5.0) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        Webhook(url, timeout_s).deliver(an_occasion())
    return raised.value


def test_the_event_arrives_as_json_in_one_post():
    odd = 'Dog "№1"\t\\ $(x) ü'
    with receiver() as server:
        Webhook(f"{server.url}/a/b?key={SECRET}#part").deliver(an_occasion(odd, score=0.5))
    [(method, path, headers, body)] = server.requests
    assert (method, path) == ("POST", f"/a/b?key={SECRET}")
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("sedge/")
    assert json.loads(body) == {"type": "confirmed", "event_label": odd, "onset": 1.0, "score": 0.5}


def test_a_user_in_the_url_becomes_basic_authentication():
    with receiver() as server:
        url = server.url.replace("//", "//me%40home:p%3Aw@") + "/x"
        Webhook(url).deliver(an_occasion())
    [(_, path, headers, _)] = server.requests
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"me@home:p:w"
    assert (path, headers["Host"]) == ("/x", server.url.removeprefix("http://"))


@pytest.mark.parametrize(
    ("code", "temporary", "words"),
    [
        (500, True, "500 Internal Server Error"),
        (503, True, "503 Service Unavailable"),
        (429, True, "429 Too Many Requests"),
        (404, False, "404 Not Found"),
        (401, False, "401 Unauthorized"),
        (302, False, "302 Found; give the address that it leads to"),
        (307, False, "307 Temporary Redirect; give the address that it leads to"),
    ],
)
def test_an_answer_that_is_none_of_success(code, temporary, words):
    with receiver(code) as server:
        error = failure(server.url)
    assert error.temporary == temporary
    assert str(error) == f"expected answer 200, found {words}"
    assert len(server.requests) == 1  # a redirection is not followed


def test_every_code_of_success_counts():
    with receiver(201, 202, 204) as server:
        for _ in range(3):
            Webhook(server.url).deliver(an_occasion())


def test_nobody_listens():
    with nobody() as url:
        error = failure(url)
    assert error.temporary
    assert str(error) == "expected an answer, found Connection refused"


def test_a_server_that_never_answers_is_given_up():
    with silent_server() as url:
        error = failure(url, timeout_s=0.05)
    assert error.temporary
    assert str(error) == "expected an answer, found none within 0.05 s"


def test_a_server_that_speaks_something_else():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(f"{SECRET} is no HTTP\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        error = failure(f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}")
        thread.join()
    assert error.temporary
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://example.org/{SECRET}",
        f"file:///{SECRET}",
        f"http:///{SECRET}",
        f"http://example.org:{SECRET}/",
        f"http://[::1/{SECRET}",
        f"http://example.org/{SECRET} x",
        f"http://example.org/{SECRET}\r\nX: y",
        f"http://example.org/{SECRET}ü",
        f"example.org/{SECRET}",
        "",
    ],
)
def test_what_is_no_web_address_is_refused_without_repeating_it(url):
    with pytest.raises(SedgeError, match="webhook: expected") as raised:
        Webhook(url)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"https://me:{SECRET}@hooks.example.org/{SECRET}?k={SECRET}", "webhook https://hooks.example.org"),
        (f"http://[::1]:8080/{SECRET}", "webhook http://[::1]:8080"),
    ],
)
def test_only_the_server_is_named(url, name):
    assert Webhook(url).name == name
