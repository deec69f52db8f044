// Calls the operations of SQS by the SDK for JavaScript, and prints what each gives: calls.mjs ENDPOINT.
import * as library from "@aws-sdk/client-sqs";

const endpoint = process.argv[2];
const region = "us-east-1";
const sqs = new library.SQS({ endpoint, region, maxAttempts: 1 });

const say = (...words) => console.log(words.join(" "));
const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);

async function receive(QueueUrl, more = {}) {
  const answer = await sqs.receiveMessage({
    QueueUrl,
    MaxNumberOfMessages: 10,
    MessageAttributeNames: ["All"],
    MessageSystemAttributeNames: ["All"],
    ...more,
  });
  return answer.Messages ?? [];
}

// Receives until so many have come, or nothing comes for a while: a receive may give some of them.
async function receiveAll(QueueUrl, count) {
  const found = [];
  while (found.length < count) {
    const more = await receive(QueueUrl, { WaitTimeSeconds: 5 });
    if (!more.length) break;
    found.push(...more);
  }
  return found;
}

async function fails(name, call) {
  try {
    await call;
    say("no error", name);
  } catch (error) {
    const isOfClass = library[name] === undefined ? "none" : error instanceof library[name];
    say("error", error.Error?.Code ?? error.name, isOfClass);
  }
}

// A message: its attributes, its visibility, its end.
const { QueueUrl } = await sqs.createQueue({ QueueName: "calls", Attributes: { VisibilityTimeout: "60" } });
const found = await sqs.getQueueUrl({ QueueName: "calls" });
const listed = await sqs.listQueues({ QueueNamePrefix: "calls" });
say("queue", found.QueueUrl === QueueUrl, listed.QueueUrls.length);
const MessageAttributes = {
  city: { DataType: "String", StringValue: "Zürich" },
  count: { DataType: "Number.int", StringValue: "7" },
  raw: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255]) },
};
const sent = await sqs.sendMessage({ QueueUrl, MessageBody: "grüezi <&> \u{1f600}", MessageAttributes });
const [first] = await receive(QueueUrl, { WaitTimeSeconds: 5 });
const { city, count, raw } = first.MessageAttributes;
say("received", first.MessageId === sent.MessageId, first.Body, city.StringValue, count.StringValue, raw.BinaryValue);
say("times", first.Attributes.ApproximateReceiveCount, first.MD5OfMessageAttributes === sent.MD5OfMessageAttributes);
say("hidden", (await receive(QueueUrl)).length);
await sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0 });
const [second] = await receive(QueueUrl, { WaitTimeSeconds: 5 });
say("visible", second.MessageId === sent.MessageId, second.Attributes.ApproximateReceiveCount);
await sqs.deleteMessage({ QueueUrl, ReceiptHandle: second.ReceiptHandle });
await sqs.deleteMessage({ QueueUrl, ReceiptHandle: second.ReceiptHandle });
say("deleted", (await receive(QueueUrl)).length);

// Batches, of which one entry fails.
const Entries = [0, 1, 2].map((n) => ({ Id: `e${n}`, MessageBody: `m${n}`, DelaySeconds: n === 1 ? 901 : 0 }));
const batch = await sqs.sendMessageBatch({ QueueUrl, Entries });
say("batch", ...batch.Successful.map((one) => one.Id));
for (const one of batch.Failed) say("failed", one.Id, one.Code, one.SenderFault);
const several = await receiveAll(QueueUrl, 2);
say("bodies", ...several.map((one) => one.Body).sort());
const handles = several.map((one, n) => ({ Id: `h${n}`, ReceiptHandle: one.ReceiptHandle }));
const extended = await sqs.changeMessageVisibilityBatch({
  QueueUrl,
  Entries: handles.map((one) => ({ ...one, VisibilityTimeout: 90 })),
});
say("extended", extended.Successful.length, extended.Failed?.length ?? 0);
const removed = await sqs.deleteMessageBatch({ QueueUrl, Entries: [...handles, { Id: "x", ReceiptHandle: "x" }] });
say("removed", removed.Successful.length, removed.Failed[0].Id, removed.Failed[0].Code);
const { Attributes } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ["All"] });
const counts = ["", "NotVisible", "Delayed"].map((name) => Number(Attributes[`ApproximateNumberOfMessages${name}`]));
say("left", sum(counts), Attributes.VisibilityTimeout);

// Errors: their classes and codes.
const ReceiptHandle = second.ReceiptHandle;
const VisibilityTimeout = 5;
const twice = [0, 1].map(() => ({ Id: "x", MessageBody: "x" }));
const eleven = [...Array(11).keys()].map((n) => ({ Id: `${n}`, MessageBody: "x" }));
await fails("QueueDoesNotExist", sqs.getQueueUrl({ QueueName: "none" }));
await fails("QueueNameExists", sqs.createQueue({ QueueName: "calls", Attributes: { VisibilityTimeout: "61" } }));
await fails("InvalidAttributeName", sqs.createQueue({ QueueName: "other", Attributes: { Colour: "red" } }));
await fails("InvalidAttributeValue", sqs.createQueue({ QueueName: "other", Attributes: { DelaySeconds: "901" } }));
await fails("ReceiptHandleIsInvalid", sqs.deleteMessage({ QueueUrl, ReceiptHandle: "x" }));
await fails("InvalidParameterValue", sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout }));
await fails("InvalidMessageContents", sqs.sendMessage({ QueueUrl, MessageBody: "\u0001" }));
await fails("EmptyBatchRequest", sqs.sendMessageBatch({ QueueUrl, Entries: [] }));
await fails("BatchEntryIdsNotDistinct", sqs.sendMessageBatch({ QueueUrl, Entries: twice }));
await fails("TooManyEntriesInBatchRequest", sqs.sendMessageBatch({ QueueUrl, Entries: eleven }));
await fails("InvalidParameterValue", sqs.receiveMessage({ QueueUrl, MaxNumberOfMessages: 11 }));
const accessKeyId = process.env.AWS_ACCESS_KEY_ID;
for (const credentials of [
  { accessKeyId, secretAccessKey: "false" },
  { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "x" },
]) {
  const other = new library.SQS({ endpoint, region, credentials, maxAttempts: 1 });
  await fails("signature", other.listQueues({}));
}

// A FIFO queue: order, deduplication, and a group that waits for its first message.
const fifo = { FifoQueue: "true", ContentBasedDeduplication: "true", VisibilityTimeout: "60" };
const ordered = (await sqs.createQueue({ QueueName: "calls.fifo", Attributes: fifo })).QueueUrl;
const numbers = [];
for (const MessageBody of ["A0", "A1", "B0", "A0"]) {
  const one = await sqs.sendMessage({ QueueUrl: ordered, MessageBody, MessageGroupId: MessageBody[0] });
  numbers.push(BigInt(one.SequenceNumber));
}
say("numbers", numbers[0] < numbers[1] && numbers[1] < numbers[2], numbers[3] === numbers[0]);
const [head] = await receive(ordered, { MaxNumberOfMessages: 1 });
const others = await receive(ordered);
say("order", head.Body, ...others.map((one) => one.Body));
await sqs.deleteMessage({ QueueUrl: ordered, ReceiptHandle: head.ReceiptHandle });
const [next] = await receive(ordered);
say("next", next.Body, next.Attributes.MessageGroupId, BigInt(next.Attributes.SequenceNumber) === numbers[1]);
await fails("MissingParameter", sqs.sendMessage({ QueueUrl: ordered, MessageBody: "x" }));

await sqs.purgeQueue({ QueueUrl: ordered });
for (const url of [QueueUrl, ordered]) await sqs.deleteQueue({ QueueUrl: url });
say("queues", (await sqs.listQueues({})).QueueUrls?.length ?? 0);
