"""The DynamoDB engine: items, expressions, indexes, capacity, streams and backups, without HTTP or AWS's wire format.

A write is decided on the event loop (`engine`): the stored item is decoded (`item_codec`), its condition and update are evaluated
(`expressions`, `partiql`), and `table_writer` collects the item, its index entries, counts and stream record in one batch. `storage`
commits batches to LMDB in a separate process. A read takes a range of keys (`keys`, `item_pages`) from the memory map. `capacity` limits
both.

It may import `foundation` and `records`. `services.dynamodb` checks requests and calls it.
"""
