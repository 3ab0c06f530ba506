"""What makes the world match the records: the reconcilers' driver, deployments of engines over zones, and the failover brain.

`reconciler` drives. A deployment is remembered by `deployment_records` (what is wanted, how it stands); `health` looks at its nodes over
the network; `failover` decides, purely, who may lead and says why; `deployment_plan` turns that and the wishes into one step; `step_table`
does it, by `lifecycle_steps` (made, changed, removed) and `failover_steps` (who leads next), with what `step_context` puts into their
hands; `deployment_reconciler` is the reconciler that runs the circle. `engine_nodes` finds the engine that a record speaks of;
`sandbox_run` notices that no engine can run yet. Knows nothing of AWS operations: RDS, and later ElastiCache, ALB and Directory Service,
describe their deployments to it.
"""
