"""What makes the world match the records: the reconcilers' driver, deployments of engines over zones, and the failover brain.

`reconciler` drives; `deployments` runs one engine's nodes in several zones with roles; `failover` decides, purely, and says why. Knows
nothing of AWS operations: RDS, and later ElastiCache, ALB and Directory Service, describe their deployments to it.
"""
