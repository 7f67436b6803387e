"""``footloose simulate --play``: a recorded run on the page, on this machine's loopback."""

import asyncio
from pathlib import Path

import click
from aiohttp import web

from footloose.cli.exits import Exit
from footloose.cli.output import count
from footloose.console.playback import playback_application
from footloose.core.errors import LocalError
from footloose.core.printable import printable
from footloose.simulation.recording import Recording, load_recording

_LOOPBACK = "127.0.0.1"


def show(path: Path, port: int, speed: float) -> int:
    """Serve the recording at ``path`` until Ctrl-C. Raises :class:`LocalError` if that is not possible."""
    recording = load_recording(path)
    try:
        asyncio.run(_serve(recording, port, speed))
    except OSError as error:
        what = f"cannot listen at port {port}: {error.strerror}"
        raise LocalError(what, where="simulate --play", fix="choose another with --port, or 0 for any") from error
    return Exit.OK


async def _serve(recording: Recording, port: int, speed: float) -> None:
    application = playback_application(recording, speed, asyncio.get_running_loop().time)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _LOOPBACK, port)
        await site.start()
        _tell(recording, f"http://{_LOOPBACK}:{runner.addresses[0][1]}", speed)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _tell(recording: Recording, url: str, speed: float) -> None:
    heading = recording.heading
    run = f"{printable(heading.scenario)}, seed {heading.seed}: {recording.ends_s:g} s, {speed:g} in each second"
    click.echo(f"{run}; {count(len(recording.sites), 'site')}. It begins when a page is opened. Ctrl-C ends it.")
    for site in recording.sites:
        click.echo(f"  {url}/{printable(site)}/")
