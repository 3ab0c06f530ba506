"""Creates the drill's table and reads it back, from inside the VPC: `python -m zonal.drills.drill_table create|rows`.

`rows` prints one JSON array `[client, number]` a line for each row on the primary, from one connection of its own.
"""

from __future__ import annotations

import argparse
import os
import sys

import psycopg

from zonal.drills.connection import TABLE

CREATE = f"create table if not exists {TABLE} (client int, number int, written timestamptz default now(), primary key (client, number))"


def create(connection: psycopg.Connection) -> None:
    """Drop the table and create it again."""
    connection.execute(f"drop table if exists {TABLE}")
    connection.execute(CREATE)


def rows(connection: psycopg.Connection) -> None:
    """Print every row."""
    with connection.cursor(name="rows") as cursor:
        for client, number in cursor.execute(f"select client, number from {TABLE} order by client, number"):
            sys.stdout.write(f"[{client},{number}]\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="zonal.drills.drill_table", description="Create the drill's table, or read it back.")
    parser.add_argument("what", choices=("create", "rows"))
    for name in ("host", "user", "database"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, default=5432)
    given = parser.parse_args()
    with psycopg.connect(
        host=given.host,
        port=given.port,
        user=given.user,
        dbname=given.database,
        password=os.environ["PGPASSWORD"],
        connect_timeout=10,
        application_name="zonal-drill",
    ) as connection:
        (create if given.what == "create" else rows)(connection)


if __name__ == "__main__":
    main()
