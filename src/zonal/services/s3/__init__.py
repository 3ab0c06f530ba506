"""S3's API: access control, validation and response members; `zonal.buckets` stores the content and the catalog.

`service` composes the handlers. Every handler is asynchronous and runs behind `access`. Data flow of a put: `access` → `objects` →
`object_writes.template` (the entry) → `bodies.take` (content, hashes, checksums) → `object_writes.put` (one catalog change). `context`
holds the store and the look-ups that raise S3's errors, `errors` the errors; each other module implements one noun of S3 (ACLs, locks,
lifecycle, multipart uploads, …). Imports `buckets`, `wire`, `services.common` and `services.operation`.
"""
