// A client of A2A, and an agent, both made with the SDK. What listens has a socket: APP_SOCKET and
// CALLBACKS_SOCKET are the sidecar's, PARTNER_SOCKET the agent's. The client has its notifications sent to
// INBOX. What happens is said on the standard output.
import { createServer, request } from "node:http";
import { JsonRpcTransport } from "@a2a-js/sdk/client";
import {
  DefaultExecutionEventBusManager,
  DefaultPushNotificationSender,
  DefaultRequestHandler,
  InMemoryPushNotificationStore,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
} from "@a2a-js/sdk/server";

const { APP_SOCKET, CALLBACKS_SOCKET, PARTNER_SOCKET, INBOX } = process.env;

// through returns a fetch that reaches every host at one socket.
function through(socketPath) {
  return (url, { method = "GET", headers = {}, body } = {}) => new Promise((resolve, reject) => {
    const target = new URL(url);
    const all = { ...Object.fromEntries(new Headers(headers)), host: target.host };
    request({ socketPath, path: target.pathname + target.search, method, headers: all }, async (res) => {
      const parts = [];
      for await (const part of res) parts.push(part);
      resolve(new Response(Buffer.concat(parts), { status: res.statusCode, headers: { "content-type": res.headers["content-type"] ?? "" } }));
    }).on("error", reject).end(body);
  });
}

// notified has what each notification of the agent's was answered. ended is called at each end of a task.
const notified = [];
let ended = () => {};

// The agent notifies with this one.
const outside = through(CALLBACKS_SOCKET);
globalThis.fetch = async (url, options) => {
  const response = await outside(url, options);
  const { state } = JSON.parse(options.body).status;
  notified.push(response.status);
  if (state === "completed" || state === "failed") ended();
  return response;
};
console.info = () => {};

const card = {
  name: "echo", description: "echoes", version: "1", protocolVersion: "0.3.0", url: "http://app.test/", preferredTransport: "JSONRPC",
  capabilities: { pushNotifications: true }, defaultInputModes: ["text"], defaultOutputModes: ["text"], skills: [],
};

// The agent begins with its work when it has answered.
let answered = () => {};

const executor = {
  async execute({ taskId, contextId, userMessage }, bus) {
    const update = (state, final) => bus.publish({ kind: "status-update", taskId, contextId, status: { state, timestamp: new Date().toISOString() }, final });
    const text = userMessage.parts[0].text;
    bus.publish({ kind: "task", id: taskId, contextId, status: { state: "submitted" }, history: [userMessage] });
    await new Promise((resolve) => (answered = resolve));
    update("working", false);
    if (text !== "fail") bus.publish({ kind: "artifact-update", taskId, contextId, artifact: { artifactId: "1", parts: userMessage.parts } });
    update(text === "fail" ? "failed" : "completed", true);
    bus.finished();
  },
  async cancelTask() {},
};
const configs = new InMemoryPushNotificationStore();
const agent = new JsonRpcTransportHandler(new DefaultRequestHandler(
  card, new InMemoryTaskStore(), executor, new DefaultExecutionEventBusManager(), configs, new DefaultPushNotificationSender(configs)));
const server = createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  const answer = await agent.handle(JSON.parse(Buffer.concat(parts).toString()));
  res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer), () => answered());
});
await new Promise((resolve) => server.listen(PARTNER_SOCKET, resolve));

// at returns a client of the SDK for a URL of the sidecar.
const at = (endpoint) => new JsonRpcTransport({ endpoint, fetchImpl: through(APP_SOCKET) });
const message = (text) => ({ kind: "message", messageId: text, role: "user", parts: [{ kind: "text", text }] });

const waited = await at("http://app.test/wait").sendMessage({ message: message("a book") });
console.log(`waited: ${waited.status.state}, ${waited.artifacts[0].parts[0].text}`);
try {
  await at("http://app.test/wait").sendMessage({ message: message("fail") });
  console.log("failing: no error");
} catch (error) {
  console.log(`failing: ${/Status: 424/.test(error.message)}`);
}
const client = at("http://app.test/");
const configuration = { blocking: false, pushNotificationConfig: { url: INBOX + "/task", token: "T-1" } };
const end = new Promise((resolve) => (ended = resolve));
const task = await client.sendMessage({ message: message("a pen"), configuration });
console.log(`sent: ${task.status.state}`);
await end;
const got = await client.getTask({ id: task.id });
console.log(`got: ${got.status.state}`);
console.log(`notified: ${[...new Set(notified)]}`);
server.close();
server.closeAllConnections();
