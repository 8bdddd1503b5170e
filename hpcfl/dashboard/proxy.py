"""Below a path of somebody else's site: Open OnDemand, JupyterHub, or a proxy of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

__all__ = ["Below", "clean"]

Wsgi = Callable[[dict[str, Any], Callable], Iterable[bytes]]
HEADERS = ("HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_CONTEXT")
"""Where proxies say it: most of them, and jupyter-server-proxy."""
WORD = re.compile(r"(?!\.{1,2}$)[\w.~@:+-]+")


class Below:
    """An application under a prefix, whether the proxy takes it off the path or leaves it there."""

    def __init__(self, inner: Wsgi, prefix: str, proxied: bool):
        """`proxied`: believe the proxy's header where it comes, and no prefix is set."""
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
    """/as/this; empty for the root, and for what is no path or might lead to another site."""
    words = [word for word in unquote(prefix).split("/") if word]
    return "".join(f"/{word}" for word in words) if all(map(WORD.fullmatch, words)) else ""
