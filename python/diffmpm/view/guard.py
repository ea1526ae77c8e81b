# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Access control of the viewer for the page, its websocket, and the messages from it.

Any web page in a browser can send requests to servers on the same machine. Therefore a request needs the token in the
address of the page, its Host must be the bound address, and its Origin, if it has one, must be the same.
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
"""Decides whether a message, as decoded by viser, may reach the server."""


class Guard:
    """Access control of one server.

    Args:
        host: Address that the server listens on.
        permit: Decides which messages pass; the others are dropped.
    """

    def __init__(self, host: str, permit: Permit) -> None:
        self._names = (f"[{host}]" if ":" in host else host, "localhost") if _is_loopback(host) else None
        self._permit = permit
        self._token = secrets.token_urlsafe(16)
        self.active = False
        """Whether a server uses this guard."""

    @property
    def path(self) -> str:
        """Path of the page and of its websocket."""
        return f"/{self._token}"

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make viser servers that are built in this context use this guard, and set `active` if one does."""
        infra: Any = import_module("viser.infra._infra")
        original = infra.websockets
        server = SimpleNamespace(**{**vars(original.asyncio.server), "serve": partial(self._serve, original)})
        infra.websockets = SimpleNamespace(
            **{**vars(original), "asyncio": SimpleNamespace(**{**vars(original.asyncio), "server": server})}
        )
        try:
            yield
        finally:
            infra.websockets = original

    def _serve(self, websockets: Any, handler: Any, *address: Any, process_request: Any, **options: Any) -> Any:
        """Replacement of `websockets.asyncio.server.serve`."""
        self.active = True

        async def guarded(connection: Any) -> None:
            connection.recv = partial(self._receive, connection.recv)
            await handler(connection)

        def checked(connection: Any, request: Any) -> Any:
            reason = self._refusal(connection.local_address[1], request)
            if reason is not None:
                return connection.respond(HTTPStatus.FORBIDDEN, f"{reason}\n")
            return process_request(connection, replace(request, path=request.path.removeprefix(self.path) or "/"))

        quiet = logging.getLogger(f"{__name__}.websockets")  # refused requests must not clutter the terminal
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        return websockets.asyncio.server.serve(
            guarded, *address, process_request=checked, **{**options, "logger": quiet}
        )

    def _refusal(self, port: int, request: Any) -> str | None:
        """Return why a request is refused, None if it is accepted."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if self._names is not None and host not in [f"{name}:{port}" for name in self._names]:
            return "Host: expected the address of the viewer"
        if origin not in (None, f"http://{host}"):
            return "Origin: expected the page of the viewer"
        token = request.path.partition("?")[0].split("/")[1]
        if not hmac.compare_digest(token.encode(errors="replace"), self._token.encode()):
            return "Address: expected the token; open the address that the viewer printed"
        return None

    async def _receive(self, receive: Any) -> bytes:
        """Return the next message that viser can decode and that is permitted."""
        from viser.infra import Message

        while True:
            raw = await receive()
            try:
                passes = self._permit(Message.deserialize(raw))
            except Exception:  # arbitrary bytes can raise any type
                continue
            if passes:
                return bytes(raw)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
