"""The stored form of the catalog's records: a state directory of an earlier version opens unchanged."""

from __future__ import annotations

import msgspec

from zonal.buckets.records import ObjectVersion, Upload

ENTRY = ObjectVersion(key="k", version="null", modified=1.0, owner="000000000000", legal_hold=True, hold_set=True)


def test_renamed_members_keep_their_stored_names() -> None:
    upload = Upload(id="u", bucket="b", template=ENTRY, initiated=1.0, superseded=True)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(upload))
    assert (stored["overtaken"], stored["template"]["hold_said"]) == (True, True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=Upload) == upload
