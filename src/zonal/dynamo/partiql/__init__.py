"""PartiQL, as much of it as DynamoDB speaks: text into statements (`statements`) of terms (`expressions`) and conditions (`conditions`).

What a condition becomes is a tree of `expressions`.
"""
