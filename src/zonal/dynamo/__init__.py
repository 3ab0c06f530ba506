"""The DynamoDB engine: items, expressions, tables, capacity, streams. Knows no HTTP and no AWS wire format."""
