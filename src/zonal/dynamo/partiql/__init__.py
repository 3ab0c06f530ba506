"""PartiQL, as much of it as DynamoDB speaks: text into statements (`statements`) whose conditions are the trees of `expressions`."""
