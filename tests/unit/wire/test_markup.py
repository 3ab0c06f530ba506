"""Writing XML: what is written once and used again is what would have been written."""

from __future__ import annotations

import copy
from typing import Any

from zonal.wire import markup, shapes


def written(result: dict[str, Any]) -> str:
    operation = shapes.service("rds").operation("DescribeDBInstances")
    assert operation is not None and operation.output is not None
    out = markup.Pieces()
    markup.content_writer(operation.output)(out, result)
    return "".join(out)


def instances(count: int) -> list[dict[str, Any]]:
    group = {"DBSubnetGroupName": "a <b> & c", "Subnets": [{"SubnetIdentifier": "subnet-1"}, {"SubnetIdentifier": "subnet-2"}]}
    return [
        {"DBInstanceIdentifier": f"db-{number}", "DBSubnetGroup": group, "ReadReplicaDBInstanceIdentifiers": []} for number in range(count)
    ]


def test_a_structure_that_many_hold_is_written_for_each_of_them_as_if_it_were_its_own() -> None:
    shared = instances(5)
    own = [copy.deepcopy(each) for each in shared]
    assert written({"DBInstances": shared}) == written({"DBInstances": own})
    assert written({"DBInstances": shared}).count("<DBSubnetGroupName>a &lt;b&gt; &amp; c</DBSubnetGroupName>") == 5


def test_a_structure_that_changes_between_two_answers_is_written_anew() -> None:
    shared = instances(3)
    before = written({"DBInstances": shared})
    shared[0]["DBSubnetGroup"]["DBSubnetGroupName"] = "another"
    assert written({"DBInstances": shared}).count("another") == 3 and "another" not in before


def test_an_empty_list_is_an_empty_element() -> None:
    assert "<ReadReplicaDBInstanceIdentifiers></ReadReplicaDBInstanceIdentifiers>" in written({"DBInstances": instances(1)})
