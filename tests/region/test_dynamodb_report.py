"""`zonal report` on a running region."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.running_region import RunningRegion


def test_reports_return_consumed_units_and_the_cost_of_a_read(tmp_path: Path) -> None:
    region = RunningRegion(tmp_path / "region")
    region.start()
    try:
        client = region.client("dynamodb")
        client.create_table(
            TableName="Users",
            AttributeDefinitions=[{"AttributeName": "UserId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "UserId", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.get_waiter("table_exists").wait(TableName="Users", WaiterConfig={"Delay": 1})
        for number in range(20):
            client.put_item(TableName="Users", Item={"UserId": {"S": str(number)}, "fat": {"S": "x" * 1500}})
        capacity = json.loads(region.zonal("report", "capacity", "Users", "--json").stdout)
        assert capacity["consumed_write"] == 40 and {mode["name"] for mode in capacity["modes"]} == {"PROVISIONED", "PAY_PER_REQUEST"}
        both = json.loads(region.zonal("report", "query-vs-scan", "Users", "UserId", "7", "--json").stdout)
        assert (both["query"]["items_read"], both["scan"]["items_read"]) == (1, 20)
        assert both["query"]["read_units"] == 0.5 and both["scan"]["read_units"] == 4
        picture = tmp_path / "traffic.svg"
        assert "Cheaper" in region.zonal("report", "capacity", "Users", "--picture", str(picture)).stdout
        drawn = ElementTree.parse(picture).getroot()
        assert drawn.tag.endswith("svg") and "write, provisioned" in picture.read_text()
        refused = region.zonal("report", "capacity", "Users", "--picture", str(tmp_path / "no" / "where.svg"), check=False)
        assert refused.returncode and "cannot write" in refused.stderr
    finally:
        region.zonal("stop", check=False)
