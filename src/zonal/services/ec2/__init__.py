"""EC2's network operations: VPCs, subnets, routes, gateways, security groups, network ACLs, interfaces, addresses, tags.

`model` defines the records. Each module of operations validates requests and writes records; `vpc_reconciler` computes a
`fabric.plan.VpcPlan` from the records of one VPC (a pure function) and calls the fabric to apply it. Other services use
`managed_interfaces` and `lookups`. The package imports `services.common`, `services.operation`, `records` and `fabric.plan`, never the rest
of the fabric.
"""
