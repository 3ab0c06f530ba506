"""Security groups and their rules: validation, comparison, changes, descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from zonal.foundation.errors import AwsError

from .harness import Ec2, code

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "office"}]}


@pytest.fixture
def vpc_id(ec2: Ec2) -> str:
    """A non-default VPC."""
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def web(ec2: Ec2, vpc_id: str) -> str:
    return group(ec2, "web", vpc_id)


def group(ec2: Ec2, name: str, vpc_id: str) -> str:
    return str(ec2.create_security_group(GroupName=name, Description=f"the {name} tier", VpcId=vpc_id)["GroupId"])


def described(ec2: Ec2, id: str) -> Any:
    return ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"][0]


def rules(ec2: Ec2, id: str, *, egress: bool = False) -> list[Any]:
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [id]}])["SecurityGroupRules"]
    return [rule for rule in found if rule["IsEgress"] == egress]


def test_a_new_group_allows_only_outbound_traffic(ec2: Ec2, web: str) -> None:
    shown = described(ec2, web)
    assert shown["IpPermissions"] == []
    assert [permission["IpRanges"] for permission in shown["IpPermissionsEgress"]] == [[{"CidrIp": "0.0.0.0/0"}]]


def test_a_name_is_unique_in_its_vpc(ec2: Ec2, vpc_id: str, web: str) -> None:
    with pytest.raises(AwsError) as error:
        group(ec2, "web", vpc_id)
    assert (code(error), error.value.message) == (
        "InvalidGroup.Duplicate",
        f"The security group 'web' already exists for VPC '{vpc_id}'",
    )
    assert group(ec2, "web", ec2.default_vpc_id) != web


@pytest.mark.parametrize("name", ["default", "sg-web", "", "wéb", "w" * 256])
def test_an_invalid_group_name_is_rejected(ec2: Ec2, vpc_id: str, name: str) -> None:
    with pytest.raises(AwsError) as error:
        group(ec2, name, vpc_id)
    assert code(error) == "InvalidParameterValue"


def test_each_peer_is_a_separate_rule_and_rules_are_grouped_when_described(ec2: Ec2, vpc_id: str, web: str) -> None:
    database = group(ec2, "database", vpc_id)
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 5432,
        "ToPort": 5432,
        "IpRanges": [{"CidrIp": "10.0.1.0/24"}, {"CidrIp": "10.0.2.0/24", "Description": "second"}],
        "UserIdGroupPairs": [{"GroupId": web}],
    }
    answer = ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[permission])
    assert len({rule["SecurityGroupRuleId"] for rule in answer["SecurityGroupRules"]}) == 3
    assert len(rules(ec2, database)) == 3
    [shown] = described(ec2, database)["IpPermissions"]
    assert sorted(each["CidrIp"] for each in shown["IpRanges"]) == ["10.0.1.0/24", "10.0.2.0/24"]
    assert [pair["GroupId"] for pair in shown["UserIdGroupPairs"]] == [web]


def test_the_flat_parameters_add_the_same_rules(ec2: Ec2) -> None:
    id = group(ec2, "web", ec2.default_vpc_id)
    ec2.authorize_security_group_ingress(GroupName="web", IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0")
    ec2.authorize_security_group_ingress(GroupId=id, SourceSecurityGroupName="default")
    assert {(rule["IpProtocol"], rule["FromPort"], rule.get("CidrIpv4")) for rule in rules(ec2, id)} == {
        ("tcp", 80, "0.0.0.0/0"),
        ("-1", -1, None),
    }
    with pytest.raises(AwsError) as error:
        ec2.authorize_security_group_ingress(GroupId=id, CidrIp="0.0.0.0/0", IpPermissions=[SSH])
    assert code(error) == "InvalidParameterCombination"
    with pytest.raises(AwsError) as error:
        ec2.authorize_security_group_ingress(GroupId=id)
    assert code(error) == "MissingParameter"


@pytest.mark.parametrize(
    ("permission", "message"),
    [
        (SSH, 'the specified rule "peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW" already exists'),
        (SSH | {"IpProtocol": "6", "IpRanges": [{"CidrIp": "10.1.2.3/8"}]}, "peer: 10.0.0.0/8, TCP"),
    ],
)
def test_the_same_rule_is_not_added_twice(ec2: Ec2, web: str, permission: dict[str, Any], message: str) -> None:
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[SSH])
    with pytest.raises(AwsError) as error:
        ec2.authorize_security_group_ingress(
            GroupId=web,
            IpPermissions=[{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, permission],
        )
    assert code(error) == "InvalidPermission.Duplicate" and message in error.value.message
    assert len(rules(ec2, web)) == 1


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        (SSH | {"FromPort": 23}, "InvalidParameterValue"),
        (SSH | {"FromPort": -1, "ToPort": -1}, "InvalidParameterValue"),
        (SSH | {"ToPort": 65536}, "InvalidParameterValue"),
        (SSH | {"IpProtocol": "sctp"}, "InvalidParameterValue"),
        (SSH | {"IpProtocol": "256"}, "InvalidParameterValue"),
        (SSH | {"IpProtocol": "icmpv6"}, "InvalidParameterValue"),
        (SSH | {"IpRanges": [{"CidrIp": "10.0.0.0/33"}]}, "InvalidParameterValue"),
        (SSH | {"IpRanges": [{"CidrIp": "10.0.0.1"}]}, "InvalidParameterValue"),
        (SSH | {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "<script>"}]}, "InvalidParameterValue"),
        (SSH | {"IpRanges": [{}]}, "MissingParameter"),
        (SSH | {"IpRanges": []}, "MissingParameter"),
        (SSH | {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}, "InvalidParameterValue"),
        (SSH | {"PrefixListIds": [{"PrefixListId": "pl-63a5400a"}]}, "InvalidParameterValue"),
        (SSH | {"UserIdGroupPairs": [{"GroupId": "sg-0123456789abcdef0"}]}, "InvalidGroup.NotFound"),
        (SSH | {"UserIdGroupPairs": [{"GroupName": "nobody"}]}, "InvalidGroup.NotFound"),
        (SSH | {"UserIdGroupPairs": [{}]}, "MissingParameter"),
        ({"IpProtocol": "icmp", "FromPort": -1, "ToPort": 3, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        ({"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "MissingParameter"),
    ],
)
def test_an_invalid_permission_is_rejected(ec2: Ec2, web: str, permission: dict[str, Any], expected: str) -> None:
    for authorize in (ec2.authorize_security_group_ingress, ec2.authorize_security_group_egress):
        with pytest.raises(AwsError) as error:
            authorize(GroupId=web, IpPermissions=[permission])
        assert code(error) == expected
    assert rules(ec2, web) == []


def test_a_rule_references_groups_of_its_own_vpc_only(ec2: Ec2, web: str) -> None:
    other = group(ec2, "other", ec2.default_vpc_id)
    with pytest.raises(AwsError) as error:
        ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other}]}])
    assert code(error) == "InvalidGroup.NotFound"


def test_rules_with_different_referenced_groups_are_different(ec2: Ec2, vpc_id: str, web: str) -> None:
    peers = [group(ec2, name, vpc_id) for name in ("one", "two")]
    named = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": peer}]} for peer in peers]
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=named)
    ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=named[:1])
    assert [rule["ReferencedGroupInfo"]["GroupId"] for rule in rules(ec2, web)] == peers[1:]


def test_ports_are_ignored_for_a_protocol_without_ports(ec2: Ec2, web: str) -> None:
    wanted = [
        {"IpProtocol": protocol, "FromPort": 5, "ToPort": 5, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]} for protocol in ("-1", "50", "all")
    ]
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=wanted[:2])
    assert {(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in rules(ec2, web)} == {("-1", -1, -1), ("50", -1, -1)}
    assert all("FromPort" not in permission for permission in described(ec2, web)["IpPermissions"])
    with pytest.raises(AwsError) as error:
        ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=wanted[2:])
    assert code(error) == "InvalidPermission.Duplicate"


def test_a_group_has_at_most_sixty_rules_per_direction(ec2: Ec2, web: str) -> None:
    many = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]} for port in range(61)]
    with pytest.raises(AwsError) as error:
        ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=many)
    assert code(error) == "RulesPerSecurityGroupLimitExceeded"
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=many[:60])
    assert len(rules(ec2, web)) == 60


def test_rules_are_revoked_by_id_and_by_value(ec2: Ec2, web: str) -> None:
    [rule] = ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[SSH])["SecurityGroupRules"]
    answer = ec2.revoke_security_group_ingress(GroupId=web, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    assert [each["SecurityGroupRuleId"] for each in answer["RevokedSecurityGroupRules"]] == [rule["SecurityGroupRuleId"]]
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[SSH])
    ec2.revoke_security_group_ingress(GroupId=web, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8")
    assert rules(ec2, web) == []
    [everything] = rules(ec2, web, egress=True)
    with pytest.raises(AwsError) as error:
        ec2.revoke_security_group_ingress(GroupId=web, SecurityGroupRuleIds=[everything["SecurityGroupRuleId"]])
    assert code(error) == "InvalidSecurityGroupRuleId.NotFound"
    ec2.revoke_security_group_egress(GroupId=web, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    assert rules(ec2, web, egress=True) == []


def test_revoking_an_unknown_rule_is_an_error_except_in_the_default_vpc(ec2: Ec2, web: str) -> None:
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[SSH])
    with pytest.raises(AwsError) as error:
        ec2.revoke_security_group_ingress(GroupId=web, IpPermissions=[SSH, SSH | {"ToPort": 23}])
    assert (code(error), error.value.message) == (
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group.",
    )
    assert len(rules(ec2, web)) == 1
    home = group(ec2, "home", ec2.default_vpc_id)
    ec2.authorize_security_group_ingress(GroupId=home, IpPermissions=[SSH])
    answer = ec2.revoke_security_group_ingress(GroupId=home, IpPermissions=[SSH, SSH | {"ToPort": 23}])
    assert [(each["FromPort"], each["ToPort"]) for each in answer["UnknownIpPermissions"]] == [(22, 23)]
    assert rules(ec2, home) == []


def test_a_rule_is_modified_in_place(ec2: Ec2, vpc_id: str, web: str) -> None:
    other = group(ec2, "other", vpc_id)
    answer = ec2.authorize_security_group_ingress(
        GroupId=web,
        IpPermissions=[SSH],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "why", "Value": "admin"}]}],
    )
    [rule] = answer["SecurityGroupRules"]
    update = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "ReferencedGroupId": other, "Description": "names"}
    ec2.modify_security_group_rules(
        GroupId=web, SecurityGroupRules=[{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": update}]
    )
    [changed] = rules(ec2, web)
    assert changed["SecurityGroupRuleId"] == rule["SecurityGroupRuleId"]
    assert (changed["IpProtocol"], changed["FromPort"], changed["Description"]) == ("udp", 53, "names")
    assert changed["ReferencedGroupInfo"]["GroupId"] == other and "CidrIpv4" not in changed
    assert changed["Tags"] == [{"Key": "why", "Value": "admin"}]


def test_two_rules_may_swap_values_but_not_become_equal(ec2: Ec2, web: str) -> None:
    https = SSH | {"FromPort": 443, "ToPort": 443}
    added = ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[SSH, https])["SecurityGroupRules"]
    first, second = (rule["SecurityGroupRuleId"] for rule in added)
    ports = {first: 443, second: 22}
    updates = [
        {"SecurityGroupRuleId": id, "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIpv4": "10.0.0.0/8"}}
        for id, port in ports.items()
    ]
    ec2.modify_security_group_rules(GroupId=web, SecurityGroupRules=updates)
    assert {rule["SecurityGroupRuleId"]: rule["FromPort"] for rule in rules(ec2, web)} == ports
    alike = [updates[0] | {"SecurityGroupRule": updates[1]["SecurityGroupRule"]}]
    with pytest.raises(AwsError) as error:
        ec2.modify_security_group_rules(GroupId=web, SecurityGroupRules=alike)
    assert code(error) == "InvalidPermission.Duplicate"
    for peers in ({}, {"CidrIpv4": "10.0.0.0/8", "ReferencedGroupId": web}):
        bad = {"SecurityGroupRuleId": first, "SecurityGroupRule": {"IpProtocol": "-1", **peers}}
        with pytest.raises(AwsError) as error:
            ec2.modify_security_group_rules(GroupId=web, SecurityGroupRules=[bad])
        assert code(error) == "InvalidParameterCombination"


def test_descriptions_change_by_value_and_by_id(ec2: Ec2, web: str) -> None:
    [rule] = ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[SSH])["SecurityGroupRules"]
    assert rule["Description"] == "office"
    ec2.update_security_group_rule_descriptions_ingress(GroupId=web, IpPermissions=[SSH | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}])
    assert "Description" not in rules(ec2, web)[0]
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=web, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "Description": "home"}]
    )
    assert rules(ec2, web)[0]["Description"] == "home"
    with pytest.raises(AwsError) as error:
        ec2.update_security_group_rule_descriptions_egress(GroupId=web, IpPermissions=[SSH])
    assert code(error) == "InvalidPermission.NotFound"


def test_a_group_in_use_is_not_deleted(ec2: Ec2, vpc_id: str, web: str) -> None:
    database = group(ec2, "database", vpc_id)
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]}
    ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[permission])
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[permission])  # A reference to itself does not prevent the deletion.
    with pytest.raises(AwsError) as error:
        ec2.delete_security_group(GroupId=web)
    assert (code(error), error.value.message) == ("DependencyViolation", f"resource {web} has a dependent object")
    ec2.delete_security_group(GroupId=database)
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    interface_id = ec2.create_network_interface(SubnetId=subnet_id, Groups=[web])["NetworkInterface"]["NetworkInterfaceId"]
    with pytest.raises(AwsError) as error:
        ec2.delete_security_group(GroupId=web)
    assert code(error) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    ec2.delete_security_group(GroupId=web)
    with pytest.raises(AwsError) as error:
        ec2.delete_security_group(GroupId=web)
    assert (code(error), error.value.message) == ("InvalidGroup.NotFound", f"The security group '{web}' does not exist")


def test_the_default_group_cannot_be_deleted(ec2: Ec2) -> None:
    with pytest.raises(AwsError) as error:
        ec2.delete_security_group(GroupName="default")
    assert code(error) == "CannotDelete"


def test_groups_are_found_by_name_in_the_default_vpc_only(ec2: Ec2, web: str) -> None:
    assert [each["GroupName"] for each in ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]] == ["default"]
    with pytest.raises(AwsError) as error:
        ec2.describe_security_groups(GroupNames=["web"])
    assert code(error) == "InvalidGroup.NotFound"


def test_a_vpcs_groups_are_listed_for_it(ec2: Ec2, vpc_id: str, web: str) -> None:
    found = ec2.get_security_groups_for_vpc(VpcId=vpc_id)["SecurityGroupForVpcs"]
    assert {each["GroupName"] for each in found} == {"default", "web"}
    assert ec2.describe_security_group_references(GroupId=[web])["SecurityGroupReferenceSet"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip-permission.cidr", "10.0.0.0/8"),
        ("ip-permission.from-port", "22"),
        ("ip-permission.to-port", "22"),
        ("ip-permission.protocol", "tcp"),
        ("group-name", "w?b"),
        ("description", "the web*"),
        ("tag:Name", "shop"),
        ("tag-key", "Nam*"),
    ],
)
def test_groups_are_filtered_by_their_permissions(ec2: Ec2, vpc_id: str, name: str, value: str) -> None:
    id = ec2.create_security_group(
        GroupName="web",
        Description="the web tier",
        VpcId=vpc_id,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "Name", "Value": "shop"}]}],
    )["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=id, IpPermissions=[SSH])
    found = ec2.describe_security_groups(Filters=[{"Name": name, "Values": ["nothing", value]}])["SecurityGroups"]
    assert [each["GroupId"] for each in found] == [id]


NEVER_RULES: list[dict[str, Any]] = [
    {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}]},
    {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-63a5400a"}]},
]
"""Permissions that cannot be authorized, so that no group has them."""


@pytest.mark.parametrize("permission", NEVER_RULES)
def test_a_permission_that_cannot_be_authorized_is_not_found_when_it_is_revoked(ec2: Ec2, web: str, permission: dict[str, Any]) -> None:
    """Terraform revokes `::/0` from every new group and ignores only InvalidPermission.NotFound."""
    for operation in (ec2.revoke_security_group_egress, ec2.revoke_security_group_ingress):
        with pytest.raises(AwsError) as error:
            operation(GroupId=web, IpPermissions=[permission])
        assert code(error) == "InvalidPermission.NotFound"
    with pytest.raises(AwsError) as error:
        ec2.update_security_group_rule_descriptions_ingress(GroupId=web, IpPermissions=[permission])
    assert code(error) == "InvalidPermission.NotFound"
    for operation in (ec2.authorize_security_group_egress, ec2.authorize_security_group_ingress):
        with pytest.raises(AwsError) as error:
            operation(GroupId=web, IpPermissions=[permission])
        assert code(error) == "InvalidParameterValue"
    assert len(rules(ec2, web, egress=True)) == 1


@pytest.mark.parametrize("permission", NEVER_RULES)
def test_in_the_default_vpc_such_a_permission_is_unknown_when_it_is_revoked(ec2: Ec2, permission: dict[str, Any]) -> None:
    id = group(ec2, "plain", ec2.default_vpc_id)
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    answer = ec2.revoke_security_group_egress(GroupId=id, IpPermissions=[permission, everything])
    [unknown] = answer["UnknownIpPermissions"]
    assert unknown["Ipv6Ranges"] == permission.get("Ipv6Ranges", [])
    assert unknown["PrefixListIds"] == permission.get("PrefixListIds", [])
    assert rules(ec2, id, egress=True) == []


def test_a_malformed_ipv6_range_is_rejected_even_when_it_is_revoked(ec2: Ec2, web: str) -> None:
    with pytest.raises(AwsError) as error:
        ec2.revoke_security_group_egress(GroupId=web, IpPermissions=[{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "everywhere"}]}])
    assert (code(error), error.value.message) == ("InvalidParameterValue", "CIDR block everywhere is malformed")
