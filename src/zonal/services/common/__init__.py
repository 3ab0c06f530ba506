"""What AWS's services have in common: parts that are the same in each but for error codes, bounds and member names.

Each module is one such part, parametrised by the service: pages of a list, filters, tags, parameters that are refused, empty strings
of the Query protocol, requester-managed network interfaces, subnet groups, events and maintenance windows. A service states its codes and
texts once, in its own package, and never holds a copy of the mechanism. May import `services.operation` and below; EC2's
records are passed in as values with the attributes that a part needs.
"""
