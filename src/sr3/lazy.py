"""Public names of a package that are loaded on first use (PEP 562), so that importing it is cheap."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

__all__ = ["loading"]


def loading(
    package: str, public: Sequence[str], parts: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Create the `__getattr__` and the `__dir__` of a package.

    package: its `__name__`. public: its public names. parts: its modules that are looked through for a name, in this
    order, each by its `__all__`; a part may be public itself.
    """

    def get(name: str) -> Any:  # noqa: ANN401 (any public name)
        for part in parts if name in public else ():
            module = import_module(f"{package}.{part}")
            if name == part:
                return module
            if name in module.__all__:
                return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted(public)
