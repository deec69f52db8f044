// Serves the page of the chat, and signs URLs for it. The page talks to Queuey
// itself, with URLs that are good for one queue and for ten minutes. The
// application's key stays here.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Client } from "queuey-client";

const QUEUEY = process.env.QUEUEY_URL ?? "http://127.0.0.1:5000";
const KEY = process.env.QUEUEY_KEY ?? "f25bfb8fe200475c8a0532a9cbe7651e";
const PORT = Number(process.env.PORT ?? 8000);
const SECONDS = 600;

const chat = new Client(QUEUEY, "queuey", { key: KEY }).queue("chat");
await chat.ensure();

const page = readFileSync(new URL("index.html", import.meta.url));
const modules = new URL(".", import.meta.resolve("queuey-client"));
const policy =
  `default-src 'none'; script-src 'self' 'unsafe-inline'; ` +
  `style-src 'unsafe-inline'; connect-src 'self' ${QUEUEY}`;

async function answer({ url }, response) {
  if (url === "/urls") {
    // Here your own server asks who the user is, before it signs anything.
    const read = await chat.signedUrl(["read"], SECONDS);
    const write = await chat.signedUrl(["write"], SECONDS);
    response.setHeader("Content-Type", "application/json");
    response.setHeader("Cache-Control", "no-store");
    response.end(JSON.stringify({ read, write }));
  } else if (/^\/(queuey|lib\/[a-z-]+)\.js$/.test(url)) {
    // Queuey's client for the page; a bundler would do that too.
    const module = readFileSync(new URL(`.${url}`, modules));
    response.setHeader("Content-Type", "text/javascript");
    response.end(module);
  } else if (url === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.setHeader("Content-Security-Policy", policy);
    response.end(page);
  } else {
    response.statusCode = 404;
    response.end();
  }
}

createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(request.url, error);
    response.statusCode = 500;
    response.end();
  });
}).listen(PORT, "127.0.0.1", () => {
  console.log(`serving on http://127.0.0.1:${PORT}`);
});
