"""Below a path of somebody else's site: Open OnDemand, JupyterHub, or a proxy of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Below", "clean"]

Wsgi = Callable[[dict[str, Any], Callable], Iterable[bytes]]
HEADERS = ("HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_CONTEXT")
"""Where proxies say it: most of them, and jupyter-server-proxy."""


class Below:
    """An application under a prefix, whether the proxy takes it off the path or leaves it there."""

    def __init__(self, inner: Wsgi, prefix: str, proxied: bool):
        """`proxied`: believe the proxy's header where it comes."""
        self._inner, self._prefix, self._proxied = inner, prefix, proxied

    def __call__(self, environ: dict[str, Any], start: Callable) -> Iterable[bytes]:
        prefix = self._prefix
        if not prefix and self._proxied:
            prefix = clean(next((environ[name] for name in HEADERS if environ.get(name)), ""))
        if prefix:
            environ["SCRIPT_NAME"] = prefix
            path = environ.get("PATH_INFO", "")
            if path == prefix or path.startswith(f"{prefix}/"):
                environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._inner(environ, start)


def clean(prefix: str) -> str:
    """/as/this, without what would lead to another site; empty for the root."""
    words = [word for word in prefix.replace("\\", "/").split("/") if word]
    return "".join(f"/{word}" for word in words)
