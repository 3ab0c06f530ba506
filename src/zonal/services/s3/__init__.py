"""S3: the API of the object store. Who may do what, what a request means, what the answer says; bytes and order are kept by `buckets`.

`service` composes it. Every handler is asynchronous and goes through `access` first. `object_writes` and `reading` hold what the operations
on objects share, `bodies` takes bodies in (plain, chunked and signed), the other modules are one noun each. Imports `buckets`,
`wire.signing` (chunks are signed too) and `services.operation`.
"""
