"""PostgreSQL with TLS and a password, and pgbouncer before it, from Debian's packages."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port

PASSWORD = "hunter2-of-the-database"
_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
_PGBOUNCER = shutil.which("pgbouncer", path=f"{os.defpath}:/usr/sbin")
#: Neither server runs as root.
_USER = "postgres" if os.geteuid() == 0 else None
PACKAGES_ARE_INSTALLED = bool(_BINARIES) and _PGBOUNCER is not None


@dataclass(frozen=True, slots=True)
class TlsServer:
    """A running server, which accepts only TLS."""

    port: int
    #: The certificate that signs itself; its name is localhost.
    certificate: Path
    #: Another certificate that did not sign the server's.
    stranger: Path

    def url(self, query: str = "", host: str = "localhost", password: str = PASSWORD) -> str:
        return f"postgresql://postgres:{password}@{host}:{self.port}/postgres{query}"


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, user=_USER, stdout=subprocess.DEVNULL, cwd="/")


def _make_certificate(folder: Path, name: str) -> Path:
    path = folder / f"{name}.crt"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / f"{name}.key"))
    subprocess.run(
        ["openssl", "req", "-x509", *key, "-out", path, "-days", "2", *subject],
        check=True,
        user=_USER,
        stderr=subprocess.DEVNULL,
    )
    return path


@contextmanager
def run_tls_server(folder: Path) -> Iterator[TlsServer]:
    """Run a server whose files are in the folder, which other users must be able to enter."""
    if _USER is not None:
        shutil.chown(folder, _USER)
    certificate, stranger = (_make_certificate(folder, name) for name in ("server", "stranger"))
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    (binaries,) = _BINARIES
    data = folder / "data"
    _run(binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--no-sync",
         "--pwfile", folder / "password")  # fmt: skip
    hosts = "hostssl all all all scram-sha-256\n"
    (data / "pg_hba.conf").write_text(hosts)
    port = free_port()
    options = {
        "port": str(port), "listen_addresses": "localhost", "ssl": "on", "fsync": "off",
        "ssl_cert_file": str(certificate), "ssl_key_file": str(folder / "server.key"),
        "unix_socket_directories": str(folder),
    }  # fmt: skip
    command = [binaries / "postgres", "-D", data]
    command += [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        command, user=_USER, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(binaries / "pg_isready", "-q", "-h", "localhost", "-p", str(port))
        yield TlsServer(port, certificate, stranger)
    finally:
        process.terminate()
        process.wait()


@dataclass
class TrustingServer:
    """A server on loopback that asks for no password; it can be killed and started again.

    Attributes:
        folder: the place of its files, which other users must be able to enter.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def programs(self) -> Path:
        """The folder of its own pg_dump and the like."""
        (binaries,) = _BINARIES
        return binaries

    def start(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            if _USER is not None:
                shutil.chown(self.folder, _USER)
            _run(self.programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")
        options = ("-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder), "-F")
        self._process = subprocess.Popen(
            [self.programs / "postgres", "-D", data, *options],
            user=_USER, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _wait_for(self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))

    def kill(self) -> None:
        """Kill it, as a loss of power would."""
        if self._process is not None:
            children = _list_children(self._process.pid)
            for pid in (self._process.pid, *children):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            # Until they have ended, the next start finds their shared memory in use.
            while any(_is_running(pid) for pid in children):
                time.sleep(0.01)


def _list_children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    # A zombie that nothing waits for holds nothing any more.
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextmanager
def run_pgbouncer(
    folder: Path, server: TlsServer, mode: str = "transaction", connections: int = 2
) -> Iterator[str]:
    """Run pgbouncer over so many connections; yield its URL."""
    port = free_port()
    (folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
    (folder / f"{mode}.ini").write_text(
        f"[databases]\npostgres = host=localhost port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = plain\nauth_file = {folder}/users\npool_mode = {mode}\n"
        f"default_pool_size = {connections}\nserver_tls_sslmode = require\n"
    )
    for name in ("users", f"{mode}.ini"):
        (folder / name).chmod(0o644)
    assert _PGBOUNCER is not None
    process = subprocess.Popen(
        [_PGBOUNCER, "-q", folder / f"{mode}.ini"],
        user=_USER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        (binaries,) = _BINARIES
        _wait_for(binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
        yield f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait()


def _wait_for(*command: str | Path) -> None:
    deadline = time.monotonic() + 20
    while subprocess.run(command, check=False, cwd="/").returncode != 0:
        assert time.monotonic() < deadline, f"no success of {command}"
        time.sleep(0.05)
