"""The files of the page, their HTTP headers, and refusing a connection."""

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
"""WebSocket close codes, in the range that is free for applications."""


async def turned_away(request: web.Request, code: int, reason: bytes) -> web.StreamResponse:
    """Accept the connection and close it at once with a reason. (A page cannot read the reason of a refused one.)"""
    socket = web.WebSocketResponse(max_msg_size=MAX_BYTES, compress=False, timeout=1.0)
    await socket.prepare(request)
    await socket.close(code=code, message=reason)
    return socket


async def on_page(request: web.Request) -> web.Response:
    """Send one of the three files."""
    name, kind = PAGE[request.path]
    text = (resources.files("sot_tracker.view") / "page" / name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=kind)


def headers(host: str) -> dict[str, str]:
    """Headers that keep foreign content out of the page, and the page out of foreign pages.

    host: checked Host header.
    """
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
