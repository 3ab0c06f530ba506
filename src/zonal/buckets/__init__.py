"""The S3 store: blobs on disk and the catalog that lists them. Knows no HTTP and no AWS wire format."""
