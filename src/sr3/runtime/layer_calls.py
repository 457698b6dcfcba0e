"""A function that is called before each layer of a network, so that even a long call can be ended and followed."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from torch import nn

__all__ = ["called_before_layers"]


@contextmanager
def called_before_layers(network: nn.Module, function: Callable[[], None]) -> Generator[None]:
    """Call the function before each layer inside the block; what it raises ends the call of the network."""

    def before(_layer: nn.Module, _inputs: object) -> None:
        function()

    handles = [layer.register_forward_pre_hook(before) for layer in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
