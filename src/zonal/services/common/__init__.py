"""Mechanisms that several AWS services share; only error codes, bounds and member names differ between them.

Each module implements one: pagination, filters, tags, rejection of unsupported parameters, blank parameters of the Query protocol, subnet
groups, events, maintenance windows. A service creates an instance with its own codes and messages (`Paging`, `TagRules`, `EventRules`, …)
and calls it from its handlers. The package imports `services.operation` and the layers below it, so EC2 can use it as well; EC2's subnets
are passed in as values. The network interfaces of a managed service's nodes depend on EC2's records: see `ec2.managed_interfaces`.
"""
