// S3 by the AWS SDK for JavaScript v3: by path and by virtual host, streamed, presigned, in parts, from a browser's form.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";

import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
  waitUntilBucketExists,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const Bucket = "javascript-pictures";
const { port } = new URL(process.env.ZONAL_ENDPOINT);
const toLoopback = (_host, options, answer) =>
  options.all ? answer(null, [{ address: "127.0.0.1", family: 4 }]) : answer(null, "127.0.0.1", 4);

const byPath = new S3Client({ endpoint: process.env.ZONAL_ENDPOINT, forcePathStyle: true, maxAttempts: 1 });
const byHost = new S3Client({
  endpoint: `http://s3.us-east-1.localhost:${port}`,
  maxAttempts: 1,
  requestHandler: { httpAgent: new http.Agent({ lookup: toLoopback, keepAlive: true }) },
});

before(async () => {
  await byPath.send(new CreateBucketCommand({ Bucket }));
  await waitUntilBucketExists({ client: byPath, maxWaitTime: 10 }, { Bucket });
});

after(async () => {
  for await (const page of paginateListObjectsV2({ client: byPath }, { Bucket })) {
    const Objects = (page.Contents ?? []).map(({ Key }) => ({ Key }));
    if (Objects.length) await byPath.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
  }
  await byPath.send(new DeleteBucketCommand({ Bucket }));
  byPath.destroy();
  byHost.destroy();
});

for (const [style, client] of [["path", byPath], ["virtual host", byHost]]) {
  test(`an object comes back as it was put, by ${style}`, async () => {
    const Key = `${style}/a b+c é.txt`;
    const put = await client.send(new PutObjectCommand({ Bucket, Key, Body: "text", ContentType: "text/plain", Metadata: { made: "here" } }));
    assert.equal(put.ETag, `"${createHash("md5").update("text").digest("hex")}"`);
    assert.equal(put.ChecksumType, "FULL_OBJECT");
    const found = await client.send(new GetObjectCommand({ Bucket, Key }));
    assert.equal(await found.Body.transformToString(), "text");
    assert.equal(found.ContentType, "text/plain");
    assert.deepEqual(found.Metadata, { made: "here" });
  });
}

test("a missing key is the SDK's own error", async () => {
  await assert.rejects(byPath.send(new GetObjectCommand({ Bucket, Key: "nothing" })), (error) => error instanceof NoSuchKey);
});

test("a stream of unknown length goes up in parts, and a range of it comes back", async () => {
  const content = randomBytes(11 * 1024 * 1024);
  const Body = Readable.from((function* () {
    for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
  })());
  await new Upload({ client: byPath, params: { Bucket, Key: "large", Body } }).done();
  const whole = await byPath.send(new GetObjectCommand({ Bucket, Key: "large" }));
  assert(content.equals(Buffer.from(await whole.Body.transformToByteArray())));
  assert(whole.ETag.endsWith('-3"'));
  const part = await byPath.send(new GetObjectCommand({ Bucket, Key: "large", Range: "bytes=6000000-6000009" }));
  assert(content.subarray(6000000, 6000010).equals(Buffer.from(await part.Body.transformToByteArray())));
});

test("a stream of known length is signed in chunks with a trailing checksum", async () => {
  const content = randomBytes(300_000);
  const Body = Readable.from([content.subarray(0, 8192), content.subarray(8192)]);
  await byPath.send(new PutObjectCommand({ Bucket, Key: "streamed", Body, ContentLength: content.length, ChecksumAlgorithm: "SHA256" }));
  const head = await byPath.send(new HeadObjectCommand({ Bucket, Key: "streamed", ChecksumMode: "ENABLED" }));
  assert.equal(head.ChecksumSHA256, createHash("sha256").update(content).digest("base64"));
});

test("a chunk under 8 KiB before the last is rejected as by S3", async () => {
  const content = randomBytes(300_000);
  const Body = Readable.from([content.subarray(0, 1), content.subarray(1)]);
  const put = new PutObjectCommand({ Bucket, Key: "torn", Body, ContentLength: content.length, ChecksumAlgorithm: "SHA256" });
  await assert.rejects(byPath.send(put), { name: "InvalidChunkSizeError" });
});

test("a copy carries what it copies", async () => {
  await byPath.send(new PutObjectCommand({ Bucket, Key: "first", Body: "text", Metadata: { made: "here" } }));
  await byPath.send(new CopyObjectCommand({ Bucket, Key: "second", CopySource: `${Bucket}/first` }));
  assert.deepEqual((await byPath.send(new HeadObjectCommand({ Bucket, Key: "second" }))).Metadata, { made: "here" });
});

test("presigned addresses put and get without keys", async () => {
  const target = { Bucket, Key: "presigned" };
  const put = await fetch(await getSignedUrl(byPath, new PutObjectCommand(target), { expiresIn: 60 }), { method: "PUT", body: "by fetch" });
  assert.equal(put.status, 200, await put.text());
  const got = await fetch(await getSignedUrl(byPath, new GetObjectCommand(target), { expiresIn: 60 }));
  assert.equal(await got.text(), "by fetch");
});

test("a browser's form posts an object", async () => {
  const { url, fields } = await createPresignedPost(byPath, { Bucket, Key: "posted", Conditions: [["content-length-range", 1, 100]], Expires: 60 });
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", new Blob(["by form"]), "form.txt");
  const answer = await fetch(url, { method: "POST", body: form });
  assert.equal(answer.status, 204, await answer.text());
  const found = await byPath.send(new GetObjectCommand({ Bucket, Key: "posted" }));
  assert.equal(await found.Body.transformToString(), "by form");
});
