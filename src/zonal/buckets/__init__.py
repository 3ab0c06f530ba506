"""The S3 store: object content on disk, and a catalog of buckets, versions and uploads. Independent of HTTP and AWS's wire formats.

An object is written in two steps. Its content goes to the *blob store* (`blobs`: the protocol; `blob_files`: the implementation with
files, each written by `file_writer`) under a random id, and is durable before anything refers to it. Then one change of the *catalog*
(SQLite, with `group_commit`) makes the object visible. A crash in between leaves unreferenced content, removed at the next start. `store`
combines the two, `records` defines the catalog's records, `listing` lists keys in order. Imports `zonal.records` and `foundation` only.
"""
