"""One thread, deterministic algorithms, checked shapes, the same examples every time, and no network."""

import re
import signal
import socket
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

DIFFUSION = Path(__file__).parents[1] / "src" / "sr3" / "diffusion"

# Samplers stay outside the hook: it turns a generator into a plain function, and torch.no_grad then misses the
# body. Their shapes are checked in the formulas they call.
install_import_hook(
    ["sr3.networks", "sr3.metrics", *(f"sr3.diffusion.{file.stem}" for file in DIFFUSION.glob("[!_]*.py"))],
    "beartype.beartype",
)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
torch.set_num_threads(1)
torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler, which takes seconds

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("fast", settings.get_profile("repeatable"), max_examples=10)  # of scripts/check --fast
settings.load_profile("repeatable")

FLOPS: dict[tuple[object, ...], float] = {}
FAST = "not (slow or training or browser)"  # of scripts/check --fast
TIMED = "timed"  # those that it runs by themselves
LEFT_OUT = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.(slow|training|browser)\b", re.MULTILINE)
LOCAL = {"127.0.0.1", "::1", "localhost"}


def pytest_ignore_collect(collection_path, config):
    """Let scripts/check not even import the files all of whose tests it leaves out, which takes seconds."""
    marks = config.option.markexpr
    if marks not in (FAST, TIMED) or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    left_out = LEFT_OUT.search(text) if marks == FAST else f"pytest.mark.{TIMED}\n" not in text
    return True if left_out else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with what takes long, and spread the tests with a browser, which mostly wait, among those that compute."""
    waiting = [item for item in items if item.get_closest_marker("browser")]
    computing = [item for item in items if not item.get_closest_marker("browser")]
    computing.sort(key=lambda item: not item.get_closest_marker("training"))
    if waiting and computing:
        places = {id(item): (k + 0.5) / len(group) for group in (waiting, computing) for k, item in enumerate(group)}
        items.sort(key=lambda item: places[id(item)])


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Refuse connections to other machines; names and pipes of this one are free."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(method):
        def reach(self, address):
            if isinstance(address, tuple) and address[0] not in LOCAL:
                raise RuntimeError(f"a test may not reach the network, this one tried {address}")
            return method(self, address)

        return reach

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        yield


@pytest.fixture(autouse=True)
def counted_once(request, monkeypatch):
    """Count the FLOPs of a network once for all tests that train it; test_estimate.py counts them anew."""
    if request.node.get_closest_marker("training"):
        from sr3.training import estimate, speed

        def counted(config, *, image_channels, side):
            key = (config.network.model_dump_json(), config.data.scale, image_channels, side)
            if key not in FLOPS:
                FLOPS[key] = estimate.forward_flops(config, image_channels=image_channels, side=side)
            return FLOPS[key]

        monkeypatch.setattr(speed, "forward_flops", counted)


@pytest.fixture
def unchecked(monkeypatch):
    """Leave the check of shapes to other tests, where the same calls are made many times and it takes a sixth."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def same_weights():
    """Start torch's own stream, which initialises layers, at the same place in every test."""
    torch.manual_seed(0)
