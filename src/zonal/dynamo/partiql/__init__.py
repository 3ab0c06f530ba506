"""Parser of DynamoDB's PartiQL: statements (`statements`), their values and operands (`expressions`), and conditions (`conditions`).

Conditions and updates are parsed into the trees of `zonal.dynamo.expressions`.
"""
