"""A web address that is told of events: a POST of one JSON object each."""

import base64
import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from edge_app import __version__
from edge_app.actions.receiver import DeliveryError
from edge_app.actions.rules import Occasion
from edge_app.core.errors import SedgeError

TIMEOUT_S = 10.0
"""Seconds in which a receiver must accept the connection, and answer."""
_BUSY = (408, 425, 429)  # answers below 500 that ask for another attempt


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the event, and be taken for a success."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """Posts to `url`, http or https; a user and password in it become basic authentication.

    Webhooks carry their secret in the path or the query, so of the URL only the server is ever named.
    Raises SedgeError where the URL is none.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        parts, server = _parse(url)
        self._server = server
        self._scheme = parts.scheme
        self._url = urllib.parse.urlunsplit((parts.scheme, server, parts.path or "/", parts.query, ""))
        self._headers = {"Content-Type": "application/json", "User-Agent": f"sedge/{__version__}"}
        if parts.username is not None:
            self._headers["Authorization"] = _basic(parts.username, parts.password or "")
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    @property
    def name(self) -> str:
        """The server, without what may be secret."""
        return f"webhook {self._scheme}://{self._server}"

    def deliver(self, occasion: Occasion) -> None:
        """Post once. Raises DeliveryError, temporary where the server cannot be reached or calls the fault its own."""
        request = urllib.request.Request(
            self._url, occasion.as_json().encode("ascii"), self._headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return
        except urllib.error.HTTPError as error:
            error.close()
            raise _refusal(error.code) from None
        except (OSError, http.client.HTTPException) as error:
            found = _reason(error, self._timeout_s)
            raise DeliveryError(f"expected an answer, found {found}", temporary=True) from None

    def abandon(self) -> None:
        """Nothing to end: an attempt ends by its own timeout."""


def _refusal(code: int) -> DeliveryError:
    hint = "; give the address that it leads to" if 300 <= code < 400 else ""
    found = f"{code} {http.client.responses.get(code, '')}".strip()
    return DeliveryError(f"expected answer 200, found {found}{hint}", temporary=code >= 500 or code in _BUSY)


def _parse(url: str) -> tuple[urllib.parse.SplitResult, str]:
    """The URL in its parts, and the server with its port. No message repeats the URL."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise SedgeError(
            "webhook: expected a URL in ASCII without spaces, found other characters; escape them with %"
        )
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SedgeError("webhook: expected a URL, found one whose server or port is none") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SedgeError(
            "webhook: expected a URL that begins with http:// or https:// and a server, found another"
        )
    server = f"[{host}]" if ":" in host else host
    return parts, server if port is None else f"{server}:{port}"


def _basic(user: str, password: str) -> str:
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
    return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"


def _reason(error: Exception, timeout_s: float) -> str:
    """Why there was no answer, from the parts of an error that cannot hold the URL."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"none within {timeout_s:g} s"
    return getattr(cause, "strerror", None) or type(error).__name__
