"""A page on this machine that upscales images, and an HTTP API. Needs the extra `web`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sr3.web.server import serve, serve_space

__all__ = ["serve", "serve_space"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any public name)
    """Load the server on first use, so that importing the package is cheap."""
    if name in __all__:
        from sr3.web import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
