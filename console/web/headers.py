"""What every answer tells a browser about it: nothing of another site runs, is loaded, or looks in."""

from aiohttp import web

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not `no-referrer`: with it, forms come without an Origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "velocity",
}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """A signal of every answer."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
