"""AWS's services: a package for each service, and a file for each kind of resource with its record, lifecycle, operations and reconciler.

The operations of a resource are methods marked `@operation("CreateVpc")` (`operation`). A control-plane operation validates, decides,
writes records and returns, all inside one store transaction, and never waits; the resource's reconciler then changes hosts and networks. A
`service.py` gathers the operations and reconcilers in a `Service` (`service`), and the `Invoker` (`invocation`) calls them.

RDS and the other managed services import `ec2`, but not each other. `common` has what several services share (pages, filters, tags,
unsupported parameters, subnet groups, events, maintenance windows). Services import `control`, `dynamo`, `buckets`, `wire`, `records` and
`foundation`, and of the fabric only its plans.
"""
