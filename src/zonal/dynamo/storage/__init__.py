"""Where items are kept: ordered bytes behind a small protocol (`storage`), and LMDB behind that (`lmdb_storage`).

Nothing above this package knows the library: another implementation needs only the protocol's methods.
"""
