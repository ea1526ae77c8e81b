# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Access control of the viewer: who gets the page and its websocket, and which messages reach the server.

Any web page that is open in a browser can send requests to servers of this machine. So a request needs the token in the
address of the page, its Host must be the address that was bound, and its Origin, where it has one, the same.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from importlib import import_module
from types import SimpleNamespace
from typing import Any

Permit = Callable[[Any], bool]
"""Whether a message, as viser decodes it, may reach the server."""


class Guard:
    """Guard of one server.

    Args:
        host: Address that the server listens on.
        permit: Which messages may pass; the others are dropped.
    """

    def __init__(self, host: str, permit: Permit) -> None:
        self._names = (f"[{host}]" if ":" in host else host, "localhost") if _is_loopback(host) else None
        self._permit = permit
        self._token = secrets.token_urlsafe(16)
        self.active = False
        """Whether a server asks this guard."""

    @property
    def path(self) -> str:
        """Path of the page and of its websocket."""
        return f"/{self._token}"

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make viser servers that are built meanwhile ask this guard; `active` tells whether one does."""
        infra: Any = import_module("viser.infra._infra")
        real = infra.websockets
        server = SimpleNamespace(**{**vars(real.asyncio.server), "serve": partial(self._serve, real)})
        infra.websockets = SimpleNamespace(
            **{**vars(real), "asyncio": SimpleNamespace(**{**vars(real.asyncio), "server": server})}
        )
        try:
            yield
        finally:
            infra.websockets = real

    def _serve(self, websockets: Any, handler: Any, *address: Any, process_request: Any, **options: Any) -> Any:
        """Stand in for `websockets.asyncio.server.serve`."""
        self.active = True

        async def guarded(connection: Any) -> None:
            connection.recv = partial(self._receive, connection.recv)
            await handler(connection)

        def checked(connection: Any, request: Any) -> Any:
            reason = self._objection(connection.local_address[1], request)
            if reason is not None:
                return connection.respond(HTTPStatus.FORBIDDEN, f"{reason}\n")
            return process_request(connection, replace(request, path=request.path.removeprefix(self.path) or "/"))

        quiet = logging.getLogger(f"{__name__}.websockets")  # strangers do not write on the terminal
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        return websockets.asyncio.server.serve(
            guarded, *address, process_request=checked, **{**options, "logger": quiet}
        )

    def _objection(self, port: int, request: Any) -> str | None:
        """Return why a request is refused; None if it is not."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if self._names is not None and host not in [f"{name}:{port}" for name in self._names]:
            return "Host: expected the address that the viewer listens on"
        if origin not in (None, f"http://{host}"):
            return "Origin: expected the page of the viewer"
        given = request.path.partition("?")[0].split("/")[1]
        if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
            return "Address: expected the token; open the address that the viewer has printed"
        return None

    async def _receive(self, receive: Any) -> bytes:
        """Return the next message that viser can read and that may pass."""
        from viser.infra import Message

        while True:
            raw = await receive()
            try:
                passes = self._permit(Message.deserialize(raw))
            except Exception:  # whatever a stranger's bytes make the decoder raise
                continue
            if passes:
                return bytes(raw)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
