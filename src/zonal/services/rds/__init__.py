"""RDS: DB subnet groups, DB instances, their events, logs, engine versions and tags.

A DB instance is a deployment (`control.deployment_reconciler`) with a name, an endpoint and AWS's manners.
"""
