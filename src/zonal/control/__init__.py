"""Makes engines and networks match the records: the reconcilers' driver, and deployments of engines over zones with failover.

`reconciler` is the driver. `deployment_records` holds the spec and the status of a deployment, `owners` the AWS resource that it belongs
to. `deployment_reconciler` repeats one cycle: `health` probes the nodes over the network, `failover` decides purely which node may lead and
why, `deployment_plan` turns that decision and the spec into one step, and `step_table` carries it out by `lifecycle_steps` (create, change,
remove) or `failover_steps` (promote, rejoin, fence). `step_context` is what both have in common, `engine_nodes` builds a node from
its record. `new_sandbox` detects that the sandbox is new, so that no engine runs.

Imports `engines`, `fabric` protocols, `records` and `foundation`. It knows no AWS operation: a service writes the spec and reads the
status.
"""
