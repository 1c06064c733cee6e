// The client of Twilio, a stand-in of its API, and a forger. Site by site, what listens has a socket:
// APP_SOCKET and CALLBACKS_SOCKET are the sidecar's, PARTNER_SOCKET the stand-in's. The client has its
// statuses sent to INBOX. What happens is said on the standard output.
import { createServer, request } from "node:http";
import { randomBytes } from "node:crypto";
import twilio from "twilio";

const { APP_SOCKET, CALLBACKS_SOCKET, PARTNER_SOCKET, INBOX, TWILIO_TOKEN } = process.env;
const account = "AC" + "0".repeat(32);

// send calls a URL at the sidecar's public site, as Twilio does.
function send(url, fields, token) {
  const body = new URLSearchParams(fields).toString();
  const target = new URL(url);
  const headers = {
    Host: target.host,
    "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
    "Content-Length": Buffer.byteLength(body),
    "X-Twilio-Signature": twilio.getExpectedTwilioSignature(token, url, fields),
  };
  return new Promise((resolve, reject) => {
    request({ socketPath: CALLBACKS_SOCKET, path: target.pathname + target.search, method: "POST", headers }, (res) => {
      res.resume().on("end", () => resolve(res.statusCode));
    }).on("error", reject).end(body);
  });
}

// reports has a promise for each message whose statuses are sent, of what they were answered.
const reports = [];

async function report(sid, url, to) {
  const fields = { AccountSid: account, MessageSid: sid, To: to, ApiVersion: "2010-04-01" };
  const lines = [`forged: ${await send(url, { ...fields, MessageStatus: "delivered" }, "another token")}`];
  for (const status of ["sent", to.endsWith("7") ? "undelivered" : "delivered"]) {
    lines.push(`${status}: ${await send(url, { ...fields, MessageStatus: status }, TWILIO_TOKEN)}`);
  }
  return lines;
}

const api = createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  const fields = new URLSearchParams(Buffer.concat(parts).toString());
  const sid = "SM" + randomBytes(16).toString("hex");
  const url = fields.get("StatusCallback");
  console.log(`api: ${req.method} ${req.url.replace(/0{32}/, "...")}, ${fields.get("Body")}, ${url?.replace(/[^/]*$/, "...")}`);
  res.writeHead(201, { "Content-Type": "application/json" });
  res.end(JSON.stringify({ sid, account_sid: account, status: "queued", to: fields.get("To"), body: fields.get("Body") }));
  if (url) reports.push(report(sid, url, fields.get("To")));
});
await new Promise((resolve) => api.listen(PARTNER_SOCKET, resolve));

// Through reaches the sidecar in place of Twilio.
class Through extends twilio.RequestClient {
  constructor() {
    super();
    this.axios.defaults.socketPath = APP_SOCKET;
  }
  request(options) {
    const { pathname, search } = new URL(options.uri);
    return super.request({ ...options, uri: "http://app.test" + pathname + search, headers: { ...options.headers, Host: "app.test" } });
  }
}

const client = twilio(account, TWILIO_TOKEN, { httpClient: new Through() });
for (const message of [
  { to: "+14155550101", from: "+14155550100", body: "a \u20ac & more", statusCallback: INBOX + "/delivered?a=b" },
  { to: "+14155550107", from: "+14155550100", body: "lost", statusCallback: INBOX + "/undelivered" },
  { to: "+14155550101", from: "+14155550100", body: "no callback" },
]) {
  const created = await client.messages.create(message);
  console.log(`client: ${created.sid.length}, ${created.status}, ${created.body}`);
  for (const lines of await Promise.all(reports.splice(0))) lines.forEach((line) => console.log(line));
}
api.close();
api.closeAllConnections();
