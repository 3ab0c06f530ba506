"""The key-value store of items: a protocol for ordered bytes (`storage`) and its implementation with LMDB (`lmdb_storage`).

`lmdb_storage` reads through a memory map and sends changes through `writer_client` to `writer_process`, which commits them. Other packages
use the protocol only, so another implementation can replace LMDB.
"""
