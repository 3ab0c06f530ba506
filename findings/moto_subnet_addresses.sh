#!/usr/bin/env bash
# moto 5.2.5 (boto3 1.44.8): network interfaces in a small subnet.
#
# Guess:     a /28 subnet has 11 free addresses (AWS reserves the first four and the last); each new interface gets another one, and the
#            twelfth CreateNetworkInterface fails with InsufficientFreeAddressesInSubnet.
# Behaviour: twenty interfaces are created without an error. Several share one private address, reserved ones (.1 to .3, .15) can be among
#            them, and AvailableIpAddressCount goes below zero.
# Follows:   a test of a full subnet, or of what depends on distinct addresses, passes on moto and fails on AWS.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install "moto[ec2]==5.2.5" boto3==1.44.8 botocore==1.44.8 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1
"$work/venv/bin/python" - <<'PY'
import boto3
from moto import mock_aws

with mock_aws():
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/28")["Subnet"]["SubnetId"]
    addresses = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["PrivateIpAddress"] for _ in range(20)]
    left = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"]
print("seen:", sorted(addresses), "available:", left)
assert len(addresses) == 20 and len(set(addresses)) < 20
assert left == 11 - 20, left
PY
