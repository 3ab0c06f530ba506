// DynamoDB by the AWS SDK for JavaScript v3: both of its clients, its waiters, paginators and typed errors, unchanged.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  ConditionalCheckFailedException,
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  PutItemCommand,
  TransactionCanceledException,
  waitUntilTableExists,
  waitUntilTableNotExists,
} from "@aws-sdk/client-dynamodb";
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListStreamsCommand,
} from "@aws-sdk/client-dynamodb-streams";
import {
  BatchWriteCommand,
  DynamoDBDocumentClient,
  ExecuteStatementCommand,
  GetCommand,
  PutCommand,
  QueryCommand,
  TransactWriteCommand,
  UpdateCommand,
  paginateScan,
} from "@aws-sdk/lib-dynamodb";

const TableName = "javascript-orders";
const client = new DynamoDBClient({ endpoint: process.env.ZONAL_ENDPOINT, maxAttempts: 1 });
const documents = DynamoDBDocumentClient.from(client);
const streams = new DynamoDBStreamsClient({ endpoint: process.env.ZONAL_ENDPOINT, maxAttempts: 1 });
const waiting = { client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 };

before(async () => {
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: "customer", AttributeType: "S" },
        { AttributeName: "number", AttributeType: "N" },
        { AttributeName: "state", AttributeType: "S" },
      ],
      KeySchema: [
        { AttributeName: "customer", KeyType: "HASH" },
        { AttributeName: "number", KeyType: "RANGE" },
      ],
      GlobalSecondaryIndexes: [
        { IndexName: "by-state", KeySchema: [{ AttributeName: "state", KeyType: "HASH" }], Projection: { ProjectionType: "ALL" } },
      ],
      StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
    }),
  );
  await waitUntilTableExists(waiting, { TableName });
});

after(async () => {
  await client.send(new DeleteTableCommand({ TableName }));
  await waitUntilTableNotExists(waiting, { TableName });
});

test("a document comes back as it was put", async () => {
  const Item = { customer: "ada", number: 1, state: "open", lines: [{ sku: "a", price: 1.5 }], paid: false, tags: new Set(["x", "y"]), note: null };
  await documents.send(new PutCommand({ TableName, Item }));
  const { Item: found } = await documents.send(new GetCommand({ TableName, Key: { customer: "ada", number: 1 }, ConsistentRead: true }));
  assert.deepEqual(found, Item);
});

test("binary values stay bytes", async () => {
  const raw = new Uint8Array([0, 255, 128]);
  await documents.send(new PutCommand({ TableName, Item: { customer: "bytes", number: 1, raw } }));
  const { Item } = await documents.send(new GetCommand({ TableName, Key: { customer: "bytes", number: 1 } }));
  assert.deepEqual(Uint8Array.from(Item.raw), raw);
});

test("a failed condition is the SDK's own error, with the item that failed it", async () => {
  await documents.send(new PutCommand({ TableName, Item: { customer: "bob", number: 1, state: "open" } }));
  const again = new PutItemCommand({
    TableName,
    Item: { customer: { S: "bob" }, number: { N: "1" } },
    ConditionExpression: "attribute_not_exists(customer)",
    ReturnValuesOnConditionCheckFailure: "ALL_OLD",
  });
  await assert.rejects(client.send(again), (error) => {
    assert(error instanceof ConditionalCheckFailedException);
    assert.equal(error.message, "The conditional request failed");
    assert.deepEqual(error.Item.state, { S: "open" });
    return true;
  });
});

test("an update answers what it made", async () => {
  const { Attributes } = await documents.send(
    new UpdateCommand({
      TableName,
      Key: { customer: "carl", number: 7 },
      UpdateExpression: "SET #s = :s ADD visits :one",
      ExpressionAttributeNames: { "#s": "state" },
      ExpressionAttributeValues: { ":s": "new", ":one": 1 },
      ReturnValues: "ALL_NEW",
    }),
  );
  assert.deepEqual(Attributes, { customer: "carl", number: 7, state: "new", visits: 1 });
});

test("batches, queries by key and by index, and a paginated scan agree", async () => {
  const puts = Array.from({ length: 25 }, (_, number) => ({ PutRequest: { Item: { customer: "many", number, state: "bulk" } } }));
  const { UnprocessedItems } = await documents.send(new BatchWriteCommand({ RequestItems: { [TableName]: puts } }));
  assert.deepEqual(UnprocessedItems, {});
  const { Items } = await documents.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: "customer = :c AND #n BETWEEN :from AND :to",
      ExpressionAttributeNames: { "#n": "number" },
      ExpressionAttributeValues: { ":c": "many", ":from": 5, ":to": 9 },
      ScanIndexForward: false,
    }),
  );
  assert.deepEqual(Items.map((item) => item.number), [9, 8, 7, 6, 5]);
  const { Count } = await documents.send(
    new QueryCommand({
      TableName,
      IndexName: "by-state",
      KeyConditionExpression: "#s = :s",
      ExpressionAttributeNames: { "#s": "state" },
      ExpressionAttributeValues: { ":s": "bulk" },
    }),
  );
  assert.equal(Count, 25);
  const filter = { FilterExpression: "customer = :c", ExpressionAttributeValues: { ":c": "many" } };
  let scanned = 0;
  for await (const page of paginateScan({ client: documents, pageSize: 10 }, { TableName, ...filter })) scanned += page.Items.length;
  assert.equal(scanned, 25);
});

test("a cancelled transaction tells why, and changes nothing", async () => {
  const Key = { customer: "dora", number: 1 };
  const transaction = new TransactWriteCommand({
    TransactItems: [
      { Put: { TableName, Item: { ...Key, state: "open" } } },
      { ConditionCheck: { TableName, Key: { customer: "nobody", number: 1 }, ConditionExpression: "attribute_exists(customer)" } },
    ],
  });
  await assert.rejects(documents.send(transaction), (error) => {
    assert(error instanceof TransactionCanceledException);
    assert.deepEqual(error.CancellationReasons.map((reason) => reason.Code), ["None", "ConditionalCheckFailed"]);
    return true;
  });
  assert.equal((await documents.send(new GetCommand({ TableName, Key }))).Item, undefined);
});

test("PartiQL takes parameters", async () => {
  await documents.send(new PutCommand({ TableName, Item: { customer: "eve", number: 3, state: "open" } }));
  const { Items } = await documents.send(
    new ExecuteStatementCommand({ Statement: `SELECT * FROM "${TableName}" WHERE customer = ? AND "number" = ?`, Parameters: ["eve", 3] }),
  );
  assert.deepEqual(Items, [{ customer: "eve", number: 3, state: "open" }]);
});

test("the stream tells a change with both images", async () => {
  const Key = { customer: "fred", number: 1 };
  await documents.send(new PutCommand({ TableName, Item: { ...Key, state: "one" } }));
  await documents.send(new PutCommand({ TableName, Item: { ...Key, state: "two" } }));
  const { Streams } = await streams.send(new ListStreamsCommand({ TableName }));
  const { StreamArn } = Streams[0];
  const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  const { ShardId } = StreamDescription.Shards[0];
  const { ShardIterator } = await streams.send(new GetShardIteratorCommand({ StreamArn, ShardId, ShardIteratorType: "TRIM_HORIZON" }));
  const { Records } = await streams.send(new GetRecordsCommand({ ShardIterator }));
  const changes = Records.filter((record) => record.dynamodb.Keys.customer.S === "fred");
  assert.deepEqual(changes.map((record) => record.eventName), ["INSERT", "MODIFY"]);
  assert.equal(changes[1].dynamodb.OldImage.state.S, "one");
  assert.equal(changes[1].dynamodb.NewImage.state.S, "two");
});
