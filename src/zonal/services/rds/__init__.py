"""RDS: DB subnet groups, DB instances, their events, logs, engine versions and tags.

A handler (`creation`, `modification`, `db_instances`) validates the request and writes two records of the same id: a `DbInstance` with
AWS's status, and the spec of a deployment (`control.deployment_records`). Control runs the engines and writes the deployment's status.
`db_instance_reconciler` follows it: it finishes the instance's status, sets the endpoint's name, and applies changes when the maintenance
window opens. `deployment_owner` registers DB instances as owners of deployments; `engines` has one row for each engine.

Imports `ec2`, `common`, `control`, the engine registry, `records` and `foundation`; no engine's own code and nothing of the fabric.
"""
