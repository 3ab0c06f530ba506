"""What makes the world match the records: the reconcilers' driver, deployments of engines over zones, and the failover brain.

`reconciler` drives. A deployment is remembered by `deployment` (what is wanted, how it stands); `health` looks at its nodes over the
network; `failover` decides, purely, who may lead and says why; `planning` turns that and the wishes into one step; `steps` does it, by
`life` (made, changed, removed) and `succession` (who leads next), with what `acting` puts into their hands; `deployments` is the reconciler
that runs the circle. `nodes` finds the engine that a record speaks of; `sandbox_run` notices that no engine can run yet.
Knows nothing of AWS operations: RDS, and later ElastiCache, ALB and Directory Service, describe their deployments to it.
"""
