"""`zonal report`: the cost of a DynamoDB table's traffic in both capacity modes, and the cost of a Query compared with a Scan."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zonal.cli.options import json_option, state_option
from zonal.foundation.errors import ZonalError, describe

if TYPE_CHECKING:
    from zonal.dynamo.capacity_comparison import CapacityComparison


@click.group()
def report() -> None:
    """Reports about DynamoDB tables."""


@report.command()
@state_option
@json_option
@click.argument("table")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Also write a chart of the traffic as SVG; needs zonal[charts].",
)
def capacity(state: Path, as_json: bool, table: str, picture: Path | None) -> None:
    """Replay TABLE's recorded traffic in both capacity modes: units, throttling, cost of a month."""
    import msgspec

    from zonal.operator_api.client import RegionClient

    seen = RegionClient(state).capacity(table)
    if picture is not None:
        from zonal.cli.capacity_chart import draw

        try:
            picture.write_bytes(draw(seen))
        except OSError as error:
            raise ZonalError(f"cannot write {describe(error)}") from error
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(seen)).decode())
    else:
        _show_capacity(seen)


def _show_capacity(seen: CapacityComparison) -> None:
    from rich import box
    from rich.table import Table

    from zonal.cli import output

    console = output.console()
    console.print(
        f"[bold]{seen.table}[/]: {seen.consumed_read:g} read and {seen.consumed_write:g} write units in {seen.minutes} minutes,"
        f" {seen.throttled_requests} requests throttled"
    )
    rows = Table("mode", "units provisioned (read/write)", "units throttled (read/write)", f"a month, {seen.currency}", box=box.SIMPLE)
    for mode in seen.modes:
        units = f"{mode.read_units} / {mode.write_units}" if mode.read_units else "none"
        rows.add_row(mode.name, units, f"{mode.throttled_read:g} / {mode.throttled_write:g}", f"{mode.month:,.2f}")
    console.print(rows)
    console.print(f"Cheaper: [bold]{seen.cheaper}[/]. Prices: {seen.prices}.")


@report.command("query-vs-scan")
@state_option
@json_option
@click.argument("table")
@click.argument("attribute")
@click.argument("value")
@click.option("--index", "index_name", help="The index with ATTRIBUTE as its partition key. [default: the table]")
def query_vs_scan(state: Path, as_json: bool, table: str, attribute: str, value: str, index_name: str | None) -> None:
    """Read the items of TABLE whose ATTRIBUTE is VALUE, by Query and by Scan: items, capacity, time, cost."""
    import msgspec
    from botocore.exceptions import BotoCoreError, ClientError

    from zonal.dynamo.capacity_comparison import prices
    from zonal.operator_api.client import RegionClient

    client = _dynamodb(RegionClient(state))
    known = prices()
    answers = {}
    for operation in ("query", "scan"):
        try:
            asked = _ask(client, operation, table, attribute, value, index_name)
        except (BotoCoreError, ClientError) as error:
            raise ZonalError(f"the region's API answered: {error}") from error
        answers[operation] = asked
        asked["cost_of_a_million"] = asked["read_units"] * known.read_request_units_million
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answers)).decode())
        return
    from rich import box
    from rich.table import Table

    from zonal.cli import output

    heads = ("operation", "items read", "items returned", "read units", "milliseconds", f"a million times, {known.currency}")
    rows = Table(*heads, box=box.SIMPLE)
    for operation, asked in answers.items():
        columns = (asked["items_read"], asked["items_returned"], asked["read_units"], round(asked["milliseconds"], 1))
        rows.add_row(operation, *map(str, columns), f"{asked['cost_of_a_million']:,.2f}")
    output.console().print(rows)


def _dynamodb(region: Any) -> Any:
    import botocore.session

    access = region.access()
    session = botocore.session.get_session()
    return session.create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
    )


def _ask(client: Any, operation: str, table: str, attribute: str, value: str, index_name: str | None) -> dict[str, Any]:
    """Read all pages by one operation; returns items read and returned, read units and milliseconds."""
    described = client.describe_table(TableName=table)["Table"]
    types = {each["AttributeName"]: each["AttributeType"] for each in described["AttributeDefinitions"]}
    if attribute not in types:
        raise ZonalError(f"'{attribute}' is not a key attribute of {table}; a Query needs one of: {', '.join(types)}")
    condition = "KeyConditionExpression" if operation == "query" else "FilterExpression"
    request: dict[str, Any] = {
        "TableName": table,
        condition: "#attribute = :value",
        "ExpressionAttributeNames": {"#attribute": attribute},
        "ExpressionAttributeValues": {":value": {types[attribute]: value}},
        "ReturnConsumedCapacity": "TOTAL",
    }
    if operation == "query" and index_name:
        request["IndexName"] = index_name
    asked: dict[str, Any] = {"items_read": 0, "items_returned": 0, "read_units": 0.0}
    start = time.perf_counter()
    while True:
        page = getattr(client, operation)(**request)
        asked["items_read"] += page["ScannedCount"]
        asked["items_returned"] += page["Count"]
        asked["read_units"] += page["ConsumedCapacity"]["CapacityUnits"]
        if "LastEvaluatedKey" not in page:
            return asked | {"milliseconds": (time.perf_counter() - start) * 1000}
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
