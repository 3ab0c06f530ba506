"""The cost of the fabric: pgbench on a database through zonal's networks, and on a plain server with the same settings.

The plain server uses the same installation and every setting of the database's configuration (except addresses and replication), and
listens on this machine's loopback. Both run at the same time; the rounds alternate, so that other work on the machine affects both.
The figure is the ratio of transactions per second, round by round.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measurements import arguments, machine, region, tell
from tests.running_region import eventually, free_port
from zonal.engines.engine_store import EngineStore
from zonal.foundation.authority import Authority

LEFT_OUT = re.compile(
    r"listen_addresses|port|ssl.*|hba_file|ident_file|data_directory|config_file|unix_socket.*|log.*|primary_.*|restore_.*|archive_.*"
    r"|synchronous_standby_names|shared_preload_libraries|cluster_name|include.*|external_pid_file|stats_.*|rds\..*|lc_.*|default_text.*"
)
SECONDS, SCALE, CLIENTS = 5, 10, 4


def main() -> None:
    runs = arguments(__doc__ or "").parse_args().runs
    with region() as running:
        home = _installation()
        identifier = running.create_database()
        endpoint = running.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]["Endpoint"]
        inside = f"host={endpoint['Address']} port={endpoint['Port']} user=master password=password-of-master dbname=app sslmode=require"

        def through(*argv: str) -> str:
            return running.execute(*argv)

        with _plain_server(home, _settings(through, home, inside)) as outside:
            sides = {"through": (through, inside), "plain": (_here, outside)}
            for run, target in sides.values():
                run(str(home / "bin" / "pgbench"), "-i", "-q", "-s", str(SCALE), target)
            rates: dict[str, list[float]] = {"through": [], "plain": []}
            for round_number in range(runs):
                for name in sorted(sides, reverse=bool(round_number % 2)):
                    run, target = sides[name]
                    rates[name].append(_rate(run(str(home / "bin" / "pgbench"), *_load(), target)))
                print(f"round {round_number + 1}: through {rates['through'][-1]:.0f}, plain {rates['plain'][-1]:.0f}", flush=True)
    print(machine())
    tell("pgbench through the fabric", rates["through"], unit="tps", goal="")
    tell("pgbench, plain server", rates["plain"], unit="tps", goal="")
    tell("ratio", [a / b for a, b in zip(rates["through"], rates["plain"], strict=True)], unit="", goal="≥ 0.9")


def _load() -> tuple[str, ...]:
    return ("-n", "-T", str(SECONDS), "-c", str(CLIENTS), "-j", "1")


def _rate(printed: str) -> float:
    found = re.search(r"tps = ([0-9.]+)", printed)
    assert found, printed
    return float(found[1])


def _here(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _installation() -> Path:
    found = EngineStore().find("postgres")
    assert found, "no PostgreSQL is installed: `zonal engines install postgres`"
    return found.home


def _settings(through: object, home: Path, target: str) -> dict[str, str]:
    """The settings from the database's configuration file, as PostgreSQL reports them."""
    query = "select json_object_agg(name, current_setting(name)) from pg_settings where source in ('configuration file', 'command line')"
    printed = through(str(home / "bin" / "psql"), target, "-AtqXc", query)  # type: ignore[operator]
    return {name: value for name, value in json.loads(printed).items() if not LEFT_OUT.fullmatch(name)}


@contextmanager
def _plain_server(home: Path, settings: dict[str, str]) -> Iterator[str]:
    """A server on this machine's loopback, as an ordinary user (root gets one in a user namespace, as zonal's hosts do)."""
    directory = Path(tempfile.mkdtemp(prefix="zonal-bench-plain-"))
    user = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()
    port = free_port()
    try:
        subprocess.run([*user, home / "bin" / "initdb", "-U", "master", "-D", directory / "data"], check=True, capture_output=True)
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        lines += [f"port = {port}", "listen_addresses = '127.0.0.1'", f"unix_socket_directories = '{directory}'"]
        lines += ["ssl = on", *_certificate(directory)]
        (directory / "data" / "postgresql.conf").write_text("\n".join(lines) + "\n")
        log = (directory / "log").open("wb")
        server = subprocess.Popen([*user, home / "bin" / "postgres", "-D", directory / "data"], stdout=log, stderr=log)
        try:
            ready = [home / "bin" / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            eventually(lambda: subprocess.run(ready, capture_output=True).returncode == 0)
            yield f"host=127.0.0.1 port={port} user=master dbname=postgres sslmode=require"
        finally:
            server.terminate()
            server.wait(30)
            log.close()
    finally:
        shutil.rmtree(directory)


def _certificate(directory: Path) -> list[str]:
    """TLS as on the database: RDS requires it of clients, so both servers use it."""
    issued = Authority(directory).issue(("localhost",), ("127.0.0.1",))
    for name, content in (("server.crt", issued.certificate), ("server.key", issued.private_key)):
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    return [f"ssl_cert_file = '{directory}/server.crt'", f"ssl_key_file = '{directory}/server.key'"]


if __name__ == "__main__":
    main()
