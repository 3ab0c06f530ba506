"""DynamoDB's operations: requests vetted in AWS's words, answers told in AWS's shapes, the work done by `zonal.dynamo`.

DynamoDB's callers are many and in a hurry, so its handlers take the JSON of a request as it came and give the JSON of the answer
(`service.Documents`): a stored item's JSON is answered without ever being decoded. `requests` checks what the model allows, `tables` and
its neighbours are the control plane, `items`, `queries`, `batches`, `transactions` the data plane.
"""
