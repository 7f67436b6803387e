"""The hello samples, as benchmarks of guests use them."""

from importlib.resources import files
from pathlib import Path

from footloose.model.app import GuestKind
from footloose.runtimes.wasm.compiler import Compiler

REQUEST = (
    ("REQUEST_METHOD", "GET"),
    ("SCRIPT_NAME", "/hello-abcdefghijklmnop/web"),
    ("PATH_INFO", "/a/path"),
    ("QUERY_STRING", "q=1"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("SERVER_NAME", "localhost"),
    ("SERVER_PORT", "8080"),
    ("REMOTE_ADDR", "192.0.2.1"),
    ("HTTP_HOST", "localhost:8080"),
)
"""What a guest is told of a plain request."""


async def compiled(folder: Path) -> dict[GuestKind, Path]:
    """Both samples, compiled into ``folder`` as a site does it."""
    samples = files("footloose") / "samples" / "hello"
    compiler = Compiler()
    try:
        return {
            kind: await compiler.compile(Path(str(samples / f"hello_{kind.value}.wasm")), folder)
            for kind in (GuestKind.HANDLER, GuestKind.COMMAND)
        }
    finally:
        await compiler.close()
