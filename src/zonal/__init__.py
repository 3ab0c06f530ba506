"""zonal: an AWS region on one machine, with Availability Zones that can really fail.

Read `docs/architecture.md` for the map. Imports point downwards only (held by import-linter): `cli`; `region` and `runtime`, which
build everything; `gateway`, `operator_api` and `drills`; `services`; `control`; `engines`, `dynamo` and `buckets`; `fabric`; `wire` and
`records`; `foundation`.
"""

__version__ = "0.1.0"
