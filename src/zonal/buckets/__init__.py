"""The S3 store: content on disk, and the catalog that tells what the content is. Knows no HTTP and no AWS wire format.

An object is written in two steps. Its content goes to the *blob store* (`blobs`: the protocol; `blob_files`: files) under a random id, and
is durable there before anything refers to it. Then one change of the *catalog* (SQLite) makes it visible. What is torn in between is
content that nothing refers to, which the next start sweeps. `store` holds the two together; `records` are what the catalog keeps,
`listing` lists them in order. Imports `records` and `foundation` only.
"""
