"""DynamoDB's operations: checks of requests with AWS's errors, and responses in AWS's shapes, over the engine `zonal.dynamo`.

The gateway passes a request's decoded JSON to a handler and sends the JSON that it returns (`documents`), so a stored item is returned
without being decoded. `requests` checks a request against botocore's model before its handler runs. Data plane: `items`, `queries`,
`batches`, `transactions`, `statements` (PartiQL) and `streams`. Control plane: `tables`, `tags`, `time_to_live`, `backups`, `exports` and
`imports`; it writes records, and `reconcilers` carry them out. `service` assembles handlers and reconcilers. `unsupported` lists the
parameters that are rejected.

It may import `zonal.dynamo`, `services.common`, `wire`, `records` and `foundation`, and knows buckets as `services.object_storage` only.
"""
