"""A PostgreSQL node keeps the promises of `engines.node`, on hosts of a real fabric."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from msgspec.structs import replace

from tests.contract.engines.engine_hosts import PASSWORD, PORT, A, B, C, Pair, ask, origin, share_engines
from tests.contract.engines.hidden_libraries import hide_libraries
from tests.contract.fabric.sandboxed import FabricHarness, sandboxed
from zonal.drills.client import write_row
from zonal.drills.connection import ClientConnection, DatabaseTarget
from zonal.drills.ledger import Outcome
from zonal.engines.node import ProbeStatus, Rejoined
from zonal.engines.postgres import configuration
from zonal.engines.postgres.accounts import scram_verifier
from zonal.engines.postgres.server import PostgresNode
from zonal.fabric.zones import ZoneFault

T = TypeVar("T")
SECONDS = timedelta(seconds=10)
DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(autouse=True, scope="module")
def engines() -> Iterator[None]:
    """Engines that an ordinary user may read too."""
    before = os.environ.get("ZONAL_ENGINES")
    root = share_engines(("18", "17"))
    os.environ["ZONAL_ENGINES"] = str(root)
    yield
    shutil.rmtree(root)
    if before is None:
        del os.environ["ZONAL_ENGINES"]
    else:
        os.environ["ZONAL_ENGINES"] = before


async def check_a_pair(harness: FabricHarness, major: str) -> None:
    """What one story can show: laying out, following, failing over, coming back."""
    pair = Pair(harness, major)
    leader, standby = await pair.synchronous()
    assert (await ask(leader, "create table rows (number int primary key); insert into rows values (1)")).startswith("CREATE")
    seen = await pair.until(standby, A, lambda result: result.status is ProbeStatus.SERVING)
    assert seen.writable is False
    position = (await pair.until(leader, B, lambda result: result.writable is True)).position
    assert position is not None
    await pair.until(standby, C, lambda result: (result.position or 0) >= position)

    await leader.kill()
    assert (await pair.until(leader, B, lambda result: result.status is not ProbeStatus.SERVING)).status is ProbeStatus.REFUSED
    await standby.promote()
    await standby.promote()
    assert await ask(standby, "insert into rows values (2) returning number") == "2\nINSERT 0 1"
    seen = await pair.until(standby, C, lambda result: result.writable is True)
    assert (seen.timeline, seen.required) == (2, ())

    assert await leader.rejoin(origin(standby), pair.secrets) == Rejoined("rewound")
    await leader.start()
    await pair.until(standby, C, lambda result: leader.spec.name in result.streaming)
    await standby.require((leader.spec.name,))
    await pair.until(standby, C, lambda result: leader.spec.name in result.synchronous)
    assert await ask(standby, "insert into rows values (3) returning number") == "3\nINSERT 0 1"
    await standby.stop(within=SECONDS)
    await leader.promote()
    assert await ask(leader, "select count(*) from rows") == "3"


@sandboxed
async def test_a_pair_of_the_newest_major_fails_over_and_back(harness: FabricHarness) -> None:
    await check_a_pair(harness, "18")


@sandboxed
async def test_a_pair_of_the_major_before_fails_over_and_back(harness: FabricHarness) -> None:
    await check_a_pair(harness, "17")


async def check_a_crashed_leader(harness: FabricHarness, major: str) -> None:
    """Recovery ends with a checkpoint, which must leave the log that the rewind reads."""
    pair = Pair(harness, major)
    leader, standby = await pair.synchronous()
    await ask(leader, "create table rows (content text)")
    for _ in range(3):
        await ask(leader, "insert into rows select repeat(md5(i::text), 60) from generate_series(1, 9000) as i")
        await ask(leader, "checkpoint")
    await ask(leader, "insert into rows select repeat(md5(i::text), 60) from generate_series(1, 30000) as i")
    await leader.kill()
    await standby.promote()
    assert (await ask(standby, "insert into rows values ('new')")).startswith("INSERT")
    assert await leader.rejoin(origin(standby), pair.secrets) == Rejoined("rewound")
    await leader.start()
    await pair.until(standby, C, lambda result: leader.spec.name in result.streaming)


@sandboxed
async def test_a_crashed_leader_of_the_newest_major_is_rewound(harness: FabricHarness) -> None:
    await check_a_crashed_leader(harness, "18")


@sandboxed
async def test_a_crashed_leader_of_the_major_before_is_rewound(harness: FabricHarness) -> None:
    await check_a_crashed_leader(harness, "17")


@sandboxed
async def test_a_leader_that_missed_more_log_than_is_kept_is_copied_and_the_reason_is_given(harness: FabricHarness) -> None:
    configuration.KEPT_LOG = "16MB"
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    await ask(leader, "create table rows (content text)")
    await leader.kill()
    await standby.promote()
    for _ in range(3):
        await ask(standby, "insert into rows select repeat(md5(i::text), 60) from generate_series(1, 30000) as i")
        await ask(standby, "checkpoint")
    done = await leader.rejoin(origin(standby), pair.secrets)
    assert done == Rejoined("cloned", "orders_b has written more log since its promotion than it keeps (16MB)")
    await leader.start()
    await pair.until(standby, C, lambda result: leader.spec.name in result.streaming)


@sandboxed
async def test_a_write_waits_for_a_required_standby_and_goes_on_when_it_is_required_no_more(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    await ask(leader, "create table rows (number int)")
    await standby.host.signal("postgres", signal.SIGSTOP)
    for child in _children(standby.host.init.pid):
        os.kill(child, signal.SIGSTOP)
    write = asyncio.create_task(ask(leader, "insert into rows values (1) returning number"))
    done, _ = await asyncio.wait({write}, timeout=1.0)
    assert not done, "the write was acknowledged although the required standby had not confirmed it"
    await leader.require(())
    assert await write == "1\nINSERT 0 1"


def _children(init: int) -> list[int]:
    """Every process on the host with this init but the init itself."""
    namespace = Path(f"/proc/{init}/ns/pid").readlink()
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and int(path.name) != init and (path / "ns/pid").readlink() == namespace:
                found.append(int(path.name))
        except OSError:
            continue
    return found


@sandboxed
async def test_laying_out_and_cloning_may_be_repeated_and_a_torn_attempt_is_done_again(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader = await pair.node("orders_a", A, 10)
    (leader.host.directory / "data.new").mkdir()
    await leader.create(pair.secrets)
    await leader.create(pair.secrets)
    await leader.start()
    await leader.start()
    await pair.until(leader, B, lambda result: result.status is ProbeStatus.SERVING)
    await ask(leader, "create table rows (number int)")
    standby = await pair.node("orders_b", B, 20)
    (standby.host.directory / "data.new").mkdir()
    for _ in range(2):
        await standby.clone(origin(leader), pair.secrets)
    await standby.start()
    await pair.until(leader, B, lambda result: "orders_b" in result.streaming)
    await standby.destroy()
    assert list(standby.host.directory.iterdir()) == []


@sandboxed
async def test_the_master_user_has_what_rds_gives_and_no_more(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader = await pair.led()

    async def master(query: str, database: str = "orders") -> str:
        return await ask(leader, query, user="master", password=PASSWORD, database=database)

    assert await master("create table rows (number int); create role clerk login; create database more") == "refused: " + (
        "ERROR:  CREATE DATABASE cannot run inside a transaction block"
    )
    assert await master("create database more") == "CREATE DATABASE"
    assert await master("create role clerk login in role pg_monitor") == "CREATE ROLE"
    assert await master("create extension hstore") == "CREATE EXTENSION"
    assert await master("select rolsuper from pg_roles where rolname = 'master'") == "f"
    assert "permission denied" in await master("copy (select 1) to program 'id'")
    assert "permission denied" in await master("select pg_read_file('/etc/passwd')")
    assert "permission denied" in await master("alter system set fsync = off")
    assert "permission denied" in await master("alter role rdsadmin password 'mine'")
    assert "permission denied" in await master("select 1", database="rdsadmin")
    assert (await master("show ssl")) == "on"
    assert await master("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == "t"
    await leader.change_password(replace(pair.secrets, master=scram_verifier("another horse")))
    assert "password authentication failed" in await master("select 1")
    assert await ask(leader, "select 1", user="master", password="another horse") == "1"


@sandboxed
async def test_a_standby_admits_no_customer_and_a_promoted_one_does(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    assert "no pg_hba.conf entry" in await ask(standby, "select 1", user="master", password=PASSWORD)
    await leader.kill()
    await standby.promote()
    for _ in range(100):
        status = await ask(standby, "select 1", user="master", password=PASSWORD)
        if status == "1":
            break
    assert status == "1"


@sandboxed
async def test_no_password_stands_in_any_log(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    await leader.change_password(replace(pair.secrets, master=scram_verifier("another horse")))
    await ask(leader, "nonsense")
    assert [file.name.partition("/")[0] for file in await leader.logs()] == ["error"]
    for node in (leader, standby):
        for path in node.host.directory.rglob("*log*"):
            text = path.read_text(errors="replace") if path.is_file() else ""
            assert not any(word in text for word in ("SCRAM-SHA-256$", pair.secrets.operator, pair.secrets.replication, PASSWORD)), path


@sandboxed
async def test_a_lost_zone_is_silent_and_a_dead_engine_refuses(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader = await pair.led()
    await harness.fabric.fail_zone(A, ZoneFault("network"))
    seen = await pair.until(leader, B, lambda result: result.status is not ProbeStatus.SERVING)
    assert seen.status is ProbeStatus.SILENT
    await harness.fabric.recover_zone(A)
    await pair.until(leader, B, lambda result: result.status is ProbeStatus.SERVING)
    await leader.kill()
    seen = await pair.until(leader, B, lambda result: result.status is not ProbeStatus.SERVING)
    assert seen.status is ProbeStatus.REFUSED


WHEEL_LIBRARIES = ("libpq.so*", "libecpg*.so*", "libpgtypes.so*", "libossp-uuid.so*")
"""What PostgreSQL's wheel has itself or does without."""


async def check_without_the_machines_libraries(harness: FabricHarness, major: str) -> None:
    hide_libraries(*WHEEL_LIBRARIES)
    pair = Pair(harness, major)
    leader, standby = await pair.synchronous()
    for node in (leader, standby):
        loaded = [line.split()[-1] for line in _maps(node.host.init.pid) if any(name in line for name in ("libpq", "libecpg"))]
        assert all(path.startswith(str(node.spec.installation)) for path in loaded), loaded
    assert (await ask(leader, "create extension dblink; create extension postgres_fdw")).endswith("CREATE EXTENSION")
    assert await ask(leader, f"select * from dblink('port={PORT} host=/tmp connect_timeout=1', 'select 1') as answer (number int)") != "1"


@sandboxed
async def test_a_standby_of_the_newest_major_follows_on_a_machine_without_libpq(harness: FabricHarness) -> None:
    await check_without_the_machines_libraries(harness, "18")


@sandboxed
async def test_a_standby_of_the_major_before_follows_on_a_machine_without_libpq(harness: FabricHarness) -> None:
    await check_without_the_machines_libraries(harness, "17")


def _maps(init: int) -> list[str]:
    """The mapped files of every process on the host with this init."""
    lines: list[str] = []
    for child in _children(init):
        with contextlib.suppress(OSError):  # It has ended.
            lines += Path(f"/proc/{child}/maps").read_text().splitlines()
    return lines


async def check_every_extension(harness: FabricHarness, major: str) -> None:
    """RDS lets the master user create what it lists (`rds_superuser`)."""
    hide_libraries(*WHEEL_LIBRARIES)
    leader = await Pair(harness, major).led()

    async def master(query: str) -> str:
        return await ask(leader, query, user="master", password=PASSWORD, database="orders")

    listed = (await master("select name from pg_available_extensions order by name")).split()
    assert {"uuid-ossp", "pg_stat_statements", "postgres_fdw", "pgcrypto", "hstore", "plpgsql"} <= set(listed)
    assert not {"file_fdw", "plpython3u", "pg_surgery", "adminpack", "xml2"} & set(listed)
    answers = {name: await master(f'create extension if not exists "{name}" cascade') for name in listed}
    assert {name: status for name, status in answers.items() if not status.startswith("CREATE EXTENSION")} == {}
    assert await master("select count(*) from pg_extension e join pg_available_extensions a on a.name = e.extname") == str(len(listed))


@sandboxed
async def test_the_master_user_of_the_newest_major_creates_every_extension_that_is_listed(harness: FabricHarness) -> None:
    await check_every_extension(harness, "18")


@sandboxed
async def test_the_master_user_of_the_major_before_creates_every_extension_that_is_listed(harness: FabricHarness) -> None:
    await check_every_extension(harness, "17")


@sandboxed
async def test_the_functions_of_uuid_ossp_have_its_signatures_and_the_values_of_the_rfc(harness: FabricHarness) -> None:
    leader = await Pair(harness).led()

    async def master(query: str) -> str:
        return await ask(leader, query, user="master", password=PASSWORD, database="orders")

    assert await master("create schema tools") == "CREATE SCHEMA"
    assert await master('create extension "uuid-ossp" schema tools') == "CREATE EXTENSION"
    signatures = await master(
        "select format('%s(%s) %s %s%s%s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid), provolatile, proisstrict, "
        "proparallel) from pg_proc where pronamespace = 'tools'::regnamespace and proname not like 'uuid_ossp_%' order by 1"
    )
    assert signatures.splitlines() == [
        "uuid_generate_v1() uuid vts",
        "uuid_generate_v1mc() uuid vts",
        "uuid_generate_v3(namespace uuid, name text) uuid its",
        "uuid_generate_v4() uuid vts",
        "uuid_generate_v5(namespace uuid, name text) uuid its",
        "uuid_nil() uuid its",
        "uuid_ns_dns() uuid its",
        "uuid_ns_oid() uuid its",
        "uuid_ns_url() uuid its",
        "uuid_ns_x500() uuid its",
    ]
    spaces = await master("select tools.uuid_ns_dns(), tools.uuid_ns_url(), tools.uuid_ns_oid(), tools.uuid_ns_x500(), tools.uuid_nil()")
    known = (uuid.NAMESPACE_DNS, uuid.NAMESPACE_URL, uuid.NAMESPACE_OID, uuid.NAMESPACE_X500, uuid.UUID(int=0))
    assert spaces == "|".join(map(str, known))
    for name in ("www.example.com", "", "Zürich \\ ☃", "x" * 300):
        made = await master(
            f"select tools.uuid_generate_v3(tools.uuid_ns_dns(), '{name}'), tools.uuid_generate_v5(tools.uuid_ns_url(), '{name}')"
        )
        assert made == f"{uuid.uuid3(uuid.NAMESPACE_DNS, name)}|{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
    for function, version in (("uuid_generate_v1", 1), ("uuid_generate_v1mc", 1), ("uuid_generate_v4", 4)):
        begun = time.time()
        made = [uuid.UUID(line) for line in (await master(f"select tools.{function}() from generate_series(1, 5000)")).split()]
        assert {(each.version, each.variant) for each in made} == {(version, uuid.RFC_4122)}
        assert len(set(made)) == 5000
        if version == 1:
            seconds = [(each.time - 0x01B21DD213814000) / 1e7 for each in made]
            assert begun - 1 <= min(seconds) <= max(seconds) <= time.time() + 1
            assert all(each.node >> 40 & 1 for each in made), "a made-up node has the multicast bit"
            assert len({each.node for each in made}) == (1 if function == "uuid_generate_v1" else 5000)
    assert await master("begin read only; select count(distinct tools.uuid_generate_v1()) from generate_series(1, 3)") == "BEGIN\n3"
    assert await master("create table rows (id uuid primary key default tools.uuid_generate_v4())") == "CREATE TABLE"
    moved = await ask(leader, 'alter extension "uuid-ossp" set schema public', database="orders")  # Its functions are the superuser's.
    assert moved == "ALTER EXTENSION"
    assert await master("select uuid_generate_v5(uuid_ns_dns(), 'a')") == str(uuid.uuid5(uuid.NAMESPACE_DNS, "a"))


async def restart(node: PostgresNode) -> None:
    await node.stop(within=SECONDS)
    await node.start()


@sandboxed
async def test_a_standby_holds_the_ordered_settings_as_large_as_its_leader_whatever_its_spec_says(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    small = configuration.ordered(leader.spec)
    names = ("max_connections", "max_worker_processes", "max_prepared_transactions", "max_locks_per_transaction")
    large = leader.spec.settings + tuple((name, str(small[name] + 10)) for name in names)

    async def shows(node: PostgresNode, values: dict[str, int]) -> None:
        await pair.until(node, C, lambda result: dict(result.ordered_settings) == values)

    async def follows() -> None:
        await pair.until(leader, C, lambda result: standby.spec.name in result.synchronous)

    for node in (standby, leader):  # Raised ones go to the standby first.
        node.spec = replace(node.spec, settings=large)
        await restart(node)
        await shows(node, configuration.ordered(node.spec))
    await follows()
    standby.spec = replace(standby.spec, settings=())
    await restart(standby)
    await shows(standby, configuration.ordered(leader.spec))
    await follows()
    leader.spec = replace(leader.spec, settings=())
    await restart(leader)
    await shows(leader, small)
    await follows()
    await restart(standby)
    await shows(standby, small)
    await follows()


@sandboxed
async def test_an_engine_that_does_not_start_says_why(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader = await pair.led()
    await ask(leader, "select 1", user="nobody")
    leader.spec = replace(leader.spec, settings=(("shared_preload_libraries", "absent"),))
    await restart(leader)
    assert await leader.host.wait_until_gone("postgres", SECONDS)
    assert not await leader.is_running()
    assert await leader.failure() == 'FATAL:  could not access file "absent": No such file or directory'


def freeze(node: PostgresNode, number: int) -> None:
    """Stop everything on a node's host, or have it go on."""
    for process in _children(node.host.init.pid):
        os.kill(process, number)


def client(node: PostgresNode) -> psycopg.Connection[Any]:
    """A customer's connection. Files of whoever runs the test play no part in it."""
    where: dict[str, Any] = {"host": node.host.management_address, "port": PORT, "dbname": "orders", "connect_timeout": 5}
    return psycopg.connect(**where, user="master", password=PASSWORD, sslmode="require", sslcert="/nowhere", sslrootcert="/nowhere")


@sandboxed
async def test_a_client_notices_a_commit_that_it_cancelled_and_waits_until_the_standby_holds_it(harness: FabricHarness) -> None:
    """With the code of docs/failover.md: PostgreSQL answers a commit whose wait was cancelled as a success with a warning."""
    snippet: dict[str, Any] = {}
    exec((DOCS / "failover.md").read_text().partition("```python\n")[2].partition("```")[0], snippet)
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    monitors = harness.fabric.monitors
    connection = await monitors.probe(C, lambda: client(leader), within=SECONDS)
    doubts = snippet["doubts_of"](connection)

    def on_client(work: Callable[[], T]) -> Awaitable[T]:
        return monitors.probe(C, work, within=timedelta(seconds=60))

    def write(number: int) -> None:
        connection.execute("insert into rows values (%s)", (number,))
        connection.commit()

    await on_client(lambda: connection.execute("create table rows (number int)") and connection.commit())
    freeze(standby, signal.SIGSTOP)
    writing = asyncio.ensure_future(on_client(lambda: write(1)))
    waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and usename = 'master'"
    await until(lambda: ask(leader, waits), "1")
    await on_client(connection.cancel)
    await writing
    assert doubts == ["canceling wait for synchronous replication due to user request"], "the commit was answered as a success"
    confirming = asyncio.ensure_future(on_client(lambda: snippet["confirm"](connection, doubts)))
    await until(lambda: ask(leader, waits), "1")
    assert not confirming.done()
    freeze(standby, signal.SIGCONT)
    await confirming
    await leader.kill()
    await standby.promote()
    assert await ask(standby, "select number from rows", database="orders") == "1"


@sandboxed
async def test_a_time_out_of_the_server_does_not_end_the_wait_for_the_standby_with_a_success(harness: FabricHarness) -> None:
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    monitors = harness.fabric.monitors
    await ask(leader, "create table rows (number int); grant all on rows to master", database="orders")
    freeze(standby, signal.SIGSTOP)

    def write() -> str:
        with client(leader) as connection:
            notices: list[str] = []
            connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
            connection.execute("set statement_timeout = 200; set idle_in_transaction_session_timeout = 200")
            connection.commit()
            connection.execute("insert into rows values (1)")
            connection.commit()
            return "; ".join(notices) or "acknowledged"

    writing = asyncio.ensure_future(monitors.probe(C, write, within=timedelta(seconds=60)))
    waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and state_change < now() - interval '1 s'"
    await until(lambda: ask(leader, waits), "1")
    freeze(standby, signal.SIGCONT)
    assert await writing == "acknowledged"


@sandboxed
async def test_a_drill_counts_a_cancelled_and_a_broken_commit_as_unknown(harness: FabricHarness) -> None:
    os.environ |= {"PGSSLCERT": "/nowhere", "PGSSLROOTCERT": "/nowhere"}
    pair = Pair(harness)
    leader, standby = await pair.synchronous()
    await ask(leader, "create table zonal_drill (client int, number int); grant all on zonal_drill to master", database="orders")
    target = DatabaseTarget(leader.host.management_address, PORT, "master", PASSWORD, "orders", 60.0)
    for number, function in enumerate(("pg_cancel_backend", "pg_terminate_backend")):
        connection = await harness.fabric.monitors.probe(C, lambda: ClientConnection(target), within=SECONDS)
        freeze(standby, signal.SIGSTOP)

        def write(connection: ClientConnection = connection, number: int = number) -> tuple[Outcome, str]:
            return write_row(connection, client=1, number=number)

        writing = asyncio.ensure_future(harness.fabric.monitors.probe(C, write, within=timedelta(seconds=60)))
        waits = "from pg_stat_activity where wait_event = 'SyncRep' and usename = 'master'"
        await until(lambda: ask(leader, f"select count(*) {waits}"), "1")  # noqa: B023 (awaited at once)
        await ask(leader, f"select {function}(pid) {waits}")
        assert (await writing)[0] is Outcome.UNKNOWN
        freeze(standby, signal.SIGCONT)
        await pair.until(leader, C, lambda result: standby.spec.name in result.synchronous)


async def until(look: Callable[[], Awaitable[str]], value: str) -> None:
    async with asyncio.timeout(30):
        while await look() != value:  # noqa: ASYNC110 (only the server can tell)
            await asyncio.sleep(0.05)
