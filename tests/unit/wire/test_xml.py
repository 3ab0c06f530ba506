"""The XML writer: cached XML equals newly written XML."""

from __future__ import annotations

from typing import Any

from zonal.wire import service_models, xml


def written(result: dict[str, Any]) -> str:
    operation = service_models.service("rds").operation("DescribeDBInstances")
    assert operation is not None and operation.output is not None
    out: list[str] = []
    xml.content_writer(operation.output)(out, result)
    return "".join(out)


def instances(count: int, group: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"DBInstanceIdentifier": f"db-{number}", "DBSubnetGroup": group, "ReadReplicaDBInstanceIdentifiers": []} for number in range(count)
    ]


GROUP = {"DBSubnetGroupName": "a <b> & c", "Subnets": [{"SubnetIdentifier": "subnet-1"}, {"SubnetIdentifier": "subnet-2"}]}


def test_a_cached_structure_is_written_like_any_other_every_time() -> None:
    lasting = [xml.CachedXml(each) for each in instances(5, xml.CachedXml(GROUP))]
    once, again, plain = written({"DBInstances": lasting}), written({"DBInstances": lasting}), written({"DBInstances": instances(5, GROUP)})
    assert once == again == plain
    assert plain.count("<DBSubnetGroupName>a &lt;b&gt; &amp; c</DBSubnetGroupName>") == 5


def test_the_cache_of_a_structure_is_separate_for_each_element_name() -> None:
    group = xml.CachedXml(GROUP)
    written({"DBInstances": instances(1, group)})
    operation = service_models.service("rds").operation("CreateDBSubnetGroup")
    assert operation is not None and operation.output is not None
    out: list[str] = []
    xml.content_writer(operation.output)(out, {"DBSubnetGroup": group})
    assert "".join(out).startswith("<DBSubnetGroup><DBSubnetGroupName>")


def test_an_empty_list_is_an_empty_element() -> None:
    assert "<ReadReplicaDBInstanceIdentifiers></ReadReplicaDBInstanceIdentifiers>" in written({"DBInstances": instances(1, GROUP)})
