// Programs that tests/live/client/test_javascript.py starts, breaks and stops.
//
// follow URL QUEUE LAST     prints the bodies of messages from the oldest one on, up to this one
// produce URL QUEUE COUNT   posts so many messages, several at a time
// work URL QUEUE GROUP MS   works on messages until SIGTERM, so many milliseconds on each; each event is a line
import { Client } from "queuey-client";

const AT_ONCE = 8;
const LEASE = 2;
const [what, url, name, ...more] = process.argv.slice(2);
const queue = new Client(url, "queuey", { key: "f25bfb8fe200475c8a0532a9cbe7651e" }).queue(name);

async function follow(last) {
  for await (const message of queue.follow({ start: "oldest" })) {
    console.log(message.text);
    if (message.text === last) return;
  }
}

async function produce(count) {
  let next = 0;
  const produceSome = async () => {
    while (next < count) await queue.post(`message-${next++}`);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, produceSome));
}

async function work(group, milliseconds) {
  const handle = () => new Promise((done) => setTimeout(done, milliseconds));
  const onEvent = (event, { delivery }) => console.log(event, delivery?.text ?? "");
  const worker = queue.group(group).worker(handle, { concurrency: 4, lease: LEASE, onEvent });
  console.log("ready");
  process.exitCode = await worker.run({ grace: 20 });
}

if (what === "follow") await follow(more[0]);
else if (what === "produce") await produce(Number(more[0]));
else await work(more[0], Number(more[1]));
