"""What a node and its workers say to each other, over a socket pair: JSON behind its length in four bytes."""

import struct

import msgspec

from footloose.core.codec import encode
from footloose.core.digest import Digest
from footloose.core.errors import LimitExceeded, RemoteError
from footloose.core.limits import CONTROL_FRAME_BYTES
from footloose.gateway.tls import Certificate
from footloose.model.routing import RoutingTable, WorkerReport
from footloose.sandbox import confine

_LENGTH = struct.Struct("!I")


class UserConfig(msgspec.Struct, frozen=True):
    """How workers treat users: what :class:`footloose.gateway.shared.GatewayConfig` says of them."""

    access_log: bool = False
    server_timing: bool = True
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False


class Sandbox(msgspec.Struct, frozen=True):
    """How a worker is confined: as ``user``, if the node is root, and with nothing to read but what is ``readable``."""

    user: int | None
    readable: tuple[str, ...]


class WorkerConfig(msgspec.Struct, frozen=True):
    """What a worker is started with: the sockets it inherits, which of ``workers`` it is, and where its files go.

    Users who come to ``tls_fds`` speak TLS; the certificates are sent before the first table. ``dial_fd`` is where it
    asks for connections; without one it makes them itself. ``running_fd`` is the page where it writes whose guests it
    runs. Without a ``sandbox`` it is not confined.
    """

    listen_fds: tuple[int, ...]
    control_fd: int
    index: int
    workers: int
    run_dir: str
    source: str | None = None
    tls_fds: tuple[int, ...] = ()
    users: UserConfig = UserConfig()
    dial_fd: int | None = None
    running_fd: int | None = None
    sandbox: Sandbox | None = None


class TableUpdate(msgspec.Struct, frozen=True, tag="table"):
    """To a worker: obey ``table``, whose artifacts lie compiled at the paths in ``compiled``."""

    table: RoutingTable
    compiled: dict[Digest, str] = {}


class Present(msgspec.Struct, frozen=True, tag="present"):
    """To a worker: present these certificates to users from now on."""

    certificates: tuple[Certificate, ...]


class Retire(msgspec.Struct, frozen=True, tag="retire"):
    """To a worker: another has taken its place. Let no more users in, see to those who are here, and exit."""


class Applied(msgspec.Struct, frozen=True, tag="applied"):
    """From a worker: the table of this version is in force, and users are being served by it."""

    version: int


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """From a worker, every second: a sign of life."""


class Confined(msgspec.Struct, frozen=True, tag="confined"):
    """From a worker, before anything else: how it is confined."""

    how: confine.Confined


class Reported(msgspec.Struct, frozen=True, tag="report"):
    """From a worker: what it has seen."""

    report: WorkerReport


FromWorker = Confined | Applied | Beat | Reported
ToWorker = TableUpdate | Present | Retire
_to_worker: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)
_from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """``message`` as it is sent."""
    data = encode(message)
    return _LENGTH.pack(len(data)) + data


class FrameReader:
    """Cuts a stream into messages, without input or output."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes. Raises :class:`LimitExceeded` if one announces itself too large."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > CONTROL_FRAME_BYTES:
                raise LimitExceeded(f"a message of {length} bytes", where="control socket")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return messages


def to_worker(data: bytes) -> ToWorker:
    """``data`` as a worker gets it. Raises :class:`RemoteError`."""
    try:
        return _to_worker.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteError(f"not a message to a worker: {error}", where="control socket") from error


def from_worker(data: bytes) -> FromWorker:
    """``data`` as a node gets it. Raises :class:`RemoteError`."""
    try:
        return _from_worker.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteError(f"not a message from a worker: {error}", where="control socket") from error
