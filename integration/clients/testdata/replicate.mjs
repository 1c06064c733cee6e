// The client of Replicate, with a receiver of webhooks of its own. It says on its standard output
// what comes of each prediction. The sidecar is at REPLICATE_BASE_URL.
import { createServer } from "node:http";
import Replicate, { validateWebhook } from "replicate";

const port = Number(process.env.REPLICATE_INBOX_PORT || 9002);
const replicate = new Replicate({
  auth: process.env.REPLICATE_API_TOKEN || "r8_example",
  baseUrl: process.env.REPLICATE_BASE_URL || "http://localhost:9000/v1",
});
const secret = (await replicate.webhooks.default.secret.get()).key;

// received has the promise of the webhook for each path, and what fulfils it.
const received = new Map();

function webhookAt(path) {
  const taken = Promise.withResolvers ? Promise.withResolvers() : withResolvers();
  received.set(path, taken);
  return taken.promise;
}

function withResolvers() {
  const taken = {};
  taken.promise = new Promise((resolve, reject) => Object.assign(taken, { resolve, reject }));
  return taken;
}

const inbox = createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  const body = Buffer.concat(parts).toString();
  const valid = await validateWebhook({ headers: req.headers, body }, secret);
  res.writeHead(valid ? 200 : 401).end();
  received.get(req.url)?.resolve({ valid, prediction: JSON.parse(body) });
});
await new Promise((resolve) => inbox.listen(port, "localhost", resolve));

// create creates a prediction with a webhook, and says what the webhook brings.
async function create(name, input, options) {
  const webhook = webhookAt("/" + encodeURIComponent(name));
  const created = await replicate.predictions.create({
    model: "example/echo",
    input,
    ...options,
    webhook: `http://localhost:${port}/${encodeURIComponent(name)}`,
    webhook_events_filter: ["start", "output", "completed"],
  });
  console.log(`${name}: created, ${created.status}, ${created.urls.get.endsWith(created.id)}`);
  const { valid, prediction } = await webhook;
  console.log(`${name}: webhook, signature ${valid}, same id ${prediction.id === created.id}, ` +
    `${prediction.status}, ${JSON.stringify(prediction.output ?? prediction.error)}`);
  return created;
}

const [created] = await Promise.all([
  create("echo", { text: "a book" }),
  create("failing", { text: "a book", fail: true }),
  create("silent", { text: "a poll", silent: true }),
  create("at once", { text: "a pen" }, { wait: true }),
]);
const waited = await replicate.wait(created);
console.log(`wait: ${waited.status}, ${JSON.stringify(waited.output)}`);
const output = await replicate.run("example/echo", { input: { text: "no webhook" }, wait: { mode: "poll" } });
console.log(`run: ${JSON.stringify(output)}`);
const blocked = await replicate.run("example/echo", { input: { text: "Prefer" } });
console.log(`run and wait: ${JSON.stringify(blocked)}`);
inbox.close();
inbox.closeAllConnections();
