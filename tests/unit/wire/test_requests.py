"""Invalid requests, each with the service's own error."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest

from tests.unit.wire.test_dispatch import CATALOGUE, FORM, request
from zonal.foundation.errors import AwsError
from zonal.wire import cbor, requests
from zonal.wire import xml as xml_module
from zonal.wire.http_messages import HttpRequest


def parse(sent: HttpRequest) -> dict[str, Any]:
    return requests.parse(CATALOGUE.locate(sent, CATALOGUE.recognise(sent)), sent)


def form(service: str, text: str) -> HttpRequest:
    return request(scope=service, content_type=FORM, body=text.encode())


def json(operation: str, text: str | bytes) -> HttpRequest:
    body = text if isinstance(text, bytes) else text.encode()
    return request(x_amz_target=f"DynamoDB_20120810.{operation}", content_type="application/x-amz-json-1.0", body=body)


def put(target: str, body: bytes) -> HttpRequest:
    return request("PUT", target, body, scope="s3")


def rpc(body: bytes) -> HttpRequest:
    return request(target="/service/X/operation/GetMetricStatistics", scope="monitoring", smithy_protocol="rpc-v2-cbor", body=body)


@pytest.mark.parametrize(
    ("sent", "code", "argv"),
    [
        (form("ec2", "Action=DeleteVpc"), "MissingParameter", "The request must contain the parameter VpcId"),
        (form("ec2", "Action=DeleteVpc&VpcId=v&Nonsense=1"), "UnknownParameter", "The parameter Nonsense is not recognized"),
        (form("ec2", "Action=DeleteVpc&VpcId=v&DryRun=maybe"), "InvalidParameterValue", "Invalid value 'maybe' for dryRun"),
        (form("ec2", "Action=DescribeVpcs&MaxResults=1e3"), "InvalidParameterValue", "Invalid value '1e3' for maxResults"),
        (form("ec2", "Action=DescribeVpcs&VpcId.x=1"), "InvalidParameterValue", "numbered from 1"),
        (form("ec2", "Action=DescribeVpcs&VpcId" + ".1" * 100 + "=1"), "MalformedQueryString", "nested"),
        (form("rds", "Action=DeleteDBInstance"), "MissingParameter", "DBInstanceIdentifier"),
        (form("rds", "Action=DescribeDBInstances&MaxRecords=99999999999"), "MalformedInput", "MaxRecords"),
        (form("sts", "Action=AssumeRole&RoleArn=x"), "ValidationError", "2 validation errors detected: "),
        (json("GetItem", "{"), "SerializationException", "Unexpected token"),
        (json("GetItem", b'{"TableName":"\xff"}'), "SerializationException", "Unexpected token"),
        (json("GetItem", "[]"), "SerializationException", "Start of list found where not expected"),
        (json("GetItem", '{"TableName":1}'), "SerializationException", "NUMBER_VALUE cannot be converted to String"),
        (
            json("GetItem", '{"TableName":"t","ConsistentRead":"x"}'),
            "SerializationException",
            "STRING_VALUE cannot be converted to Boolean",
        ),
        (json("GetItem", '{"TableName":"t","Key":{"a":{"B":"!"}}}'), "SerializationException", "Base64"),
        (json("Query", '{"TableName":"t","Limit":99999999999}'), "SerializationException", "NUMBER_VALUE cannot be converted to Integer"),
        (json("GetItem", "{}"), "ValidationException", "Value null at 'tableName' failed to satisfy constraint: Member must not be null"),
        (json("Query", '{"TableName":"t","Select":"ALL"}'), "ValidationException", "Member must satisfy enum value set: [ALL_ATTRIBUTES"),
        (json("Query", '{"TableName":"t","Limit":0}'), "ValidationException", "Member must have value greater than or equal to 1"),
        (json("GetItem", '{"TableName":' + "[" * 100_000), "SerializationException", ""),
        (json("GetItem", '{"TableName":"t","Key":{"a":' + '{"L":[' * 400 + "]}" * 400 + "}}"), "SerializationException", ""),
        (put("/b?tagging", b"<Tagging><TagSet>"), "MalformedXML", "well-formed"),
        (put("/b?tagging", b"<Nonsense/>"), "MalformedXML", "well-formed"),
        (put("/b?tagging", b"<Tagging>" + b"<TagSet>" * 200), "MalformedXML", "well-formed"),
        (put("/b?tagging", b'<!DOCTYPE x [<!ENTITY a "b">]><Tagging><TagSet/></Tagging>'), "MalformedXML", "well-formed"),
        (put("/b?versioning", b"<VersioningConfiguration><Status><x/></Status></VersioningConfiguration>"), "MalformedXML", ""),
        (put("/b/k?partNumber=x&uploadId=u", b""), "InvalidArgument", "Provided partNumber not an integer"),
        (rpc(b"\xbf"), "SerializationException", "malformed CBOR"),
        (rpc(b"\x9f" * 500), "SerializationException", "nested"),
        (rpc(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), "SerializationException", "ends too early"),
        (rpc(b"\xa1\xa0\x01"), "SerializationException", "malformed CBOR"),
        (rpc(b"\xa0\xa0"), "SerializationException", "more than one item"),
        (rpc(cbor.encode({"Period": "x"})), "SerializationException", "STRING_VALUE cannot be converted to Integer"),
    ],
)
def test_malformed_input_is_rejected_with_the_services_messages(sent: HttpRequest, code: str, argv: str) -> None:
    with pytest.raises(AwsError) as refused:
        parse(sent)
    assert refused.value.code == code
    assert refused.value.status == 400
    assert argv in refused.value.message


def test_all_errors_are_reported_at_once_with_the_members_paths() -> None:
    schema = '"KeySchema":[{"AttributeName":"a","KeyType":"X"}]'
    body = f'{{"TableName":"t",{schema},"AttributeDefinitions":[{{"AttributeName":"","AttributeType":"S"}}]}}'
    with pytest.raises(AwsError) as refused:
        parse(json("CreateTable", body))
    assert refused.value.message.startswith("2 validation errors detected: ")
    assert "Value 'X' at 'keySchema.1.member.keyType' failed" in refused.value.message
    assert "Value '' at 'attributeDefinitions.1.member.attributeName' failed" in refused.value.message


def test_query_services_other_than_ec2_ignore_unknown_parameters() -> None:
    assert parse(form("rds", "Action=DescribeDBInstances&Nonsense=1")) == {}


def test_list_elements_are_ordered_by_number_not_by_position() -> None:
    assert parse(form("ec2", "Action=DescribeVpcs&VpcId.10=c&VpcId.2=b&VpcId.1=a")) == {"VpcIds": ["a", "b", "c"]}
    assert parse(form("rds", "Action=DescribeDBInstances&Filters.Filter.1.Name=x&Filters.Filter.1.Values.Value.1=y")) == {
        "Filters": [{"Name": "x", "Values": ["y"]}]
    }
    assert parse(form("rds", "Action=DescribeDBInstances&Filters.member.1.Name=x&Filters.member.1.Values.member.1=y")) == {
        "Filters": [{"Name": "x", "Values": ["y"]}]
    }


def test_every_prefix_of_a_valid_body_is_valid_or_rejected() -> None:
    good = cbor.encode({"Namespace": "n", "MetricName": "m", "StartTime": 1.5, "EndTime": 2, "Period": 60, "Statistics": ["Sum"]})
    xml = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    source = random.Random(7)
    for body, make in ((good, rpc), (xml, lambda piece: put("/b?tagging", piece))):
        for length in range(len(body)):
            noisy = bytearray(body[:length] or b"\x00")
            noisy[source.randrange(len(noisy))] = source.randrange(256)
            for piece in (body[:length], bytes(noisy)):
                try:
                    parse(make(piece))
                except AwsError as error:
                    assert error.status == 400


def test_entities_are_not_expanded_and_the_built_in_ones_are() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><a>&b;</a>'
    with pytest.raises(xml_module.NotXml):
        xml_module.tree(bomb)
    with pytest.raises(xml_module.NotXml):
        xml_module.tree(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')
    assert xml_module.tree(b"<a>&lt;&#65;&amp;</a>").text == "<A&"


def test_a_gzip_body_is_decompressed_up_to_the_limit() -> None:
    packed = request(body=gzip.compress(b"x" * 5000))
    assert requests.unpacked(packed, limit_bytes=5000) == b"x" * 5000
    for body, limit in ((packed.body, 4999), (packed.body[:-9], 9000), (b"plain", 9000)):
        with pytest.raises(AwsError) as refused:
            requests.unpacked(request(body=body), limit_bytes=limit)
        assert refused.value.code == "SerializationException"
