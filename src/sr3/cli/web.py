"""`sr3 web`: a page in the browser, and an HTTP API, that upscale images on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from sr3.cli.options import IN_OUT, MACHINE, SERVER, Device, DType, Threads

__all__ = ["EXAMPLES", "web"]

LIMITS = "Limits"
EXAMPLES = """
sr3 web                                          # opens the page of this machine
sr3 web --no-open --port 9000 --keep results/    # keeps the results
sr3 web --host 0.0.0.0                           # for other machines, which need the token in the printed address
"""


def web(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; one that other machines can reach requires a token.", rich_help_panel=SERVER
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 for any free port.", rich_help_panel=SERVER)
    ] = 8333,
    token: Annotated[
        str | None,
        typer.Option(
            help="Token that requests must carry.  [default: none on this machine, else a random one]",
            rich_help_panel=SERVER,
        ),
    ] = None,
    opens: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.", rich_help_panel=SERVER)
    ] = True,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the results in this folder.  [default: removed when the server stops]",
            rich_help_panel=IN_OUT,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Model to offer, as for sr3 upscale; may be repeated, the first is the default.  "
            "[default: the packaged models]",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Device = "auto",
    dtype: DType = "auto",
    threads: Threads = None,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Largest number of pixels of a result.", rich_help_panel=LIMITS)
    ] = 2**26,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Largest size of an uploaded file in bytes.", rich_help_panel=LIMITS)
    ] = 2**28,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Largest number of waiting images per browser tab.", rich_help_panel=LIMITS)
    ] = 16,
) -> None:
    """Upscale images on a page in the browser. It also serves an HTTP API. Files are removed when it stops."""
    from sr3.web.limits import Limits
    from sr3.web.server import Options, serve

    options = Options(
        host=host,
        port=port,
        token=token or "",
        models=tuple(model or ()),
        device=device,
        dtype=dtype,
        threads=threads,
        limits=Limits(pixels=max_pixels, bytes=max_bytes, waiting=max_waiting),
        keep=keep,
    )
    serve(options, announce=_announce, opens_browser=opens)


def _announce(address: str) -> None:
    typer.echo(f"{address} is the page, {address.partition('?')[0]}docs describes the API; stop with Ctrl-C")
