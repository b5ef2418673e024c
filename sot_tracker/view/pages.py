"""The files of the page, the headers that they are sent with, and how a connection is turned away."""

from __future__ import annotations

from importlib import resources

from aiohttp import web

from sot_tracker.view.wire import MAX_BYTES

PAGE = {
    "/": ("index.html", "text/html"),
    "/view.js": ("view.js", "text/javascript"),
    "/view.css": ("view.css", "text/css"),
}
WRONG_TOKEN, TOO_MANY = 4401, 4503
"""Codes with which a connection is closed, in the range that is free for programs."""


async def turned_away(request: web.Request, code: int, reason: bytes) -> web.StreamResponse:
    """Accept the connection and close it at once: of a refused one, a page cannot learn the reason."""
    socket = web.WebSocketResponse(max_msg_size=MAX_BYTES, compress=False, timeout=1.0)
    await socket.prepare(request)
    await socket.close(code=code, message=reason)
    return socket


async def on_page(request: web.Request) -> web.Response:
    """One of the three files."""
    name, kind = PAGE[request.path]
    text = (resources.files("sot_tracker.view") / "page" / name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=kind)


def headers(host: str) -> dict[str, str]:
    """What keeps content of others off the page, and the page off pages of others. host: the Host header, checked."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        f"connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
