"""What AWS's services have in common: parts that are the same in each but for error codes, bounds and member names.

Each module is one such part, parametrised by the service: pages of a list, filters, tags, parameters that are refused, empty strings
of the Query protocol, subnet groups, events and maintenance windows. A service states its codes and texts once, in its own package, and
holds no copy of the mechanism. May import `services.operation` and below, so EC2 uses it too; EC2's subnets are passed in as values. The
network interfaces of a managed service's nodes need EC2's records and are therefore in `ec2.managed_interfaces`.
"""
