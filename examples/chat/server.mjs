// Serves the page of the chat, and signs URLs for it. The page talks to Queuey
// itself, with URLs that are good for one queue and for ten minutes. The
// application's key stays here.
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const QUEUEY = process.env.QUEUEY_URL ?? "http://127.0.0.1:5000";
const KEY = process.env.QUEUEY_KEY ?? "f25bfb8fe200475c8a0532a9cbe7651e";
const PORT = Number(process.env.PORT ?? 8000);
const QUEUE = `${QUEUEY}/v2/queuey/queues/chat`;
const SECONDS = 600;

const hmac = (key, text) => createHmac("sha256", key).update(text);

function signedUrl(operation) {
  const digest = createHash("sha256").update(KEY).digest();
  const until = String(Math.floor(Date.now() / 1000) + SECONDS);
  const signingKey = hmac(digest, "queuey signed URL").digest();
  const text = ["queuey", "chat", operation, until, ""].join("\n");
  const signed = {
    signed_by: digest.toString("hex").slice(0, 12),
    signed_for: operation,
    signed_until: until,
    signature: hmac(signingKey, text).digest("hex"),
  };
  return `${QUEUE}/messages?${new URLSearchParams(signed)}`;
}

const made = await fetch(QUEUE, {
  method: "PUT",
  headers: { Authorization: `Application ${KEY}` },
});
if (!made.ok) throw new Error(`no queue: ${await made.text()}`);

const page = readFileSync(new URL("index.html", import.meta.url));
const policy =
  `default-src 'none'; script-src 'unsafe-inline'; ` +
  `style-src 'unsafe-inline'; connect-src 'self' ${QUEUEY}`;

createServer((request, response) => {
  if (request.url === "/urls") {
    // Here your own server asks who the user is, before it signs anything.
    const urls = { read: signedUrl("read"), write: signedUrl("write") };
    response.setHeader("Content-Type", "application/json");
    response.setHeader("Cache-Control", "no-store");
    response.end(JSON.stringify(urls));
  } else if (request.url === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.setHeader("Content-Security-Policy", policy);
    response.end(page);
  } else {
    response.statusCode = 404;
    response.end();
  }
}).listen(PORT, "127.0.0.1", () => {
  console.log(`serving on http://127.0.0.1:${PORT}`);
});
