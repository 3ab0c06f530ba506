"""EC2's network side: VPCs, subnets, routes, gateways, security groups, network ACLs, interfaces, addresses, tags.

Each noun's operations write records; `vpc_reconciler` turns the records of one VPC into a `fabric.plan.VpcPlan` (purely) and has the
fabric apply it.
"""
