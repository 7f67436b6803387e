"""``footloose node``: run a site until told to stop."""

import asyncio
import ipaddress
import logging
import math
import pwd
import signal
from pathlib import Path

import click

from footloose.cli.options import has_json
from footloose.console.page import add_page
from footloose.core.codec import encode
from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId, public_key_of
from footloose.core.limits import LEASES_PER_SITE
from footloose.gateway.tls import CertificateFiles
from footloose.model.site import Endpoint, check_origin
from footloose.node.config import WORKER_USER, NodeConfig
from footloose.node.node import Node


class EndpointType(click.ParamType[Endpoint]):
    """``HOST:PORT``, with an IPv6 address in brackets."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Endpoint:
        """The endpoint, or a usage error."""
        host, colon, port = str(value).rpartition(":")
        if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return Endpoint(host.strip("[]"), int(port))


class NodeIdType(click.ParamType[NodeId]):
    """A node id: one mistyped would keep nobody out, and nobody would notice."""

    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> NodeId:
        """The id, or a usage error."""
        try:
            public_key_of(str(value))
        except RemoteError as error:
            self.fail(f"{error.what}: see `footloose sites --json`", param, ctx)
        return NodeId(str(value))


class UserType(click.ParamType[int]):
    """A user of this machine, or the number of one."""

    name = "user"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The user's number, or a usage error."""
        text = str(value)
        try:
            number = int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
        except KeyError:
            self.fail(f"this machine has no user {text!r}", param, ctx)
        if number >= 2**32 - 1:
            self.fail(f"{text} is no user's number", param, ctx)
        return number


class PriceType(click.FloatRange):
    """A price: click's own range lets ``nan`` and ``inf`` pass."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The price, or a usage error."""
        price: float = super().convert(value, param, ctx)
        if not math.isfinite(price):
            self.fail(f"{value} is not a price", param, ctx)
        return price


class NetworkType(click.ParamType[str]):
    """An address, or a network as ``192.0.2.0/24``."""

    name = "cidr"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The network, or a usage error."""
        try:
            return str(ipaddress.ip_network(str(value)))
        except ValueError as error:
            self.fail(f"not a network: {error}", param, ctx)


class OriginType(click.ParamType[str]):
    """``http(s)://host[:port]``."""

    name = "url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The URL without a slash at its end, or a usage error."""
        url = str(value).removesuffix("/")
        try:
            check_origin(url, "url")
        except RemoteError as error:
            self.fail(error.what, param, ctx)
        return url


ENDPOINT = EndpointType()
PORT = click.IntRange(1, 65535)


def _default_state() -> Path:
    return Path.home() / ".local/state/footloose"


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    envvar="FOOTLOOSE_STATE",
    default=_default_state,
    help="Directory for all the site keeps.  [default: ~/.local/state/footloose]",
)
@click.option("--name", default="site", show_default=True, help="What people call this site.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address others reach this site at.")
@click.option("--bind", metavar="ADDRESS", help="This machine's own address, if others reach it at another.")
@click.option("--gateway-port", default=8080, show_default=True, type=PORT, help="Port for users (HTTP).")
@click.option(
    "--gateway-url", type=OriginType(), help="Where others send users.  [default: http://ADDRESS:GATEWAY_PORT]"
)
@click.option(
    "--tls-cert",
    "tls_certs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Certificate chain (PEM) for users by TLS; with --tls-key. May be repeated: the name asked for decides.",
)
@click.option("--tls-key", "tls_keys", multiple=True, type=click.Path(path_type=Path), help="Its private key (PEM).")
@click.option("--tls-port", default=8443, show_default=True, type=PORT, help="Port for users by TLS, with --tls-cert.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    type=NetworkType(),
    help="Network of proxies that are believed who their users are. May be repeated.",
)
@click.option("--proxy-protocol", is_flag=True, help="Connections from trusted proxies begin with a PROXY header.")
@click.option("--access-log", is_flag=True, help="A JSON line on standard error for each request.")
@click.option(
    "--server-timing/--no-server-timing",
    default=True,
    show_default=True,
    help="Tell users how long the guest took and the request waited for it.",
)
@click.option("--api-port", default=7443, show_default=True, type=PORT, help="Port for other sites (HTTPS).")
@click.option("--dht-port", default=7444, show_default=True, type=PORT, help="Port for the DHT (UDP).")
@click.option("--membership-port", default=7445, show_default=True, type=PORT, help="Port for the membership (UDP).")
@click.option(
    "--membership",
    type=click.Choice(("wan", "lan", "off")),
    default="wan",
    show_default=True,
    help="lan if all sites are within a few milliseconds: they are then missed sooner. off to take no part.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option("--region", default="", help="Where this site is, as owners may require it.")
@click.option("--failure-domain", default="", help="What fails with this site, say a building or a power line.")
@click.option("--price", default=0.0, show_default=True, type=PriceType(0), help="Price of a copy per hour.")
@click.option(
    "--max-leases",
    default=LEASES_PER_SITE,
    show_default=True,
    type=click.IntRange(0),
    help="Copies run for others; 0 for none.",
)
@click.option("--join", multiple=True, type=ENDPOINT, help="The DHT port of a node to join through. May be repeated.")
@click.option("--site", "sites", multiple=True, type=ENDPOINT, help="A site known beforehand. May be repeated.")
@click.option("--resolver", "resolvers", multiple=True, type=ENDPOINT, help="DNS server for finding sites.")
@click.option("--console", type=ENDPOINT, help="Also serve the page at this address, to look at only.")
@click.option(
    "--deny", multiple=True, type=NodeIdType(), help="Node id of a customer not to deal with. May be repeated."
)
@click.option(
    "--echo-port",
    type=PORT,
    help="For the demo without namespaces: time an echo at this port of users instead of probing them.",
)
@click.option(
    "--worker-user",
    type=UserType(),
    default=str(WORKER_USER),
    show_default=True,
    help="User that a node of root runs its workers as: a name or a number.",
)
@click.option(
    "--sandbox/--no-sandbox", default=True, show_default=True, help="Confine workers, as far as the kernel can."
)
@click.option("--verbose", is_flag=True, help="Log more.")
@has_json
def node(
    *,
    as_json: bool,
    verbose: bool,
    join: tuple[Endpoint, ...],
    deny: tuple[NodeId, ...],
    price: float,
    tls_certs: tuple[Path, ...],
    tls_keys: tuple[Path, ...],
    **options: object,
) -> None:
    """Run a site in the foreground until SIGTERM or Ctrl-C."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if len(tls_certs) != len(tls_keys):
        raise click.UsageError("each --tls-cert needs its --tls-key, in the same order")
    if options["proxy_protocol"] and not options["trusted_proxies"]:
        raise click.UsageError("--proxy-protocol needs to know from whom: see --trusted-proxy")
    config = NodeConfig(
        bootstrap=join,
        price_per_hour=price,
        denied_customers=frozenset(deny),
        certificates=tuple(map(CertificateFiles, tls_certs, tls_keys)),
        **options,  # type: ignore[arg-type]
    )
    asyncio.run(_run(config, as_json=as_json))


async def _run(config: NodeConfig, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Node(config, pages=add_page) as running:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, running.certificates.read_again)
        record = running.site.record()
        if as_json:
            ready = {"ready": True, "node": record.node, "gateway": record.gateway, "api": str(record.api)}
            click.echo(encode(ready).decode())  # not by way of what prints tables: that takes long to import
        else:
            click.echo(f"site {record.name} ({record.node[:16]}) is up")
            click.echo(f"  users come to  {record.gateway}")
            if config.certificates:
                click.echo(f"       or by TLS  https://{Endpoint(config.own_address, config.tls_port)}")
            click.echo(f"  sites come to  https://{record.api}")
            click.echo(f"  you come to    {config.state / 'run/admin.sock'}")
        await stop.wait()
