// Signs messages, and says whether signatures are right, with the libraries of the providers. Each
// line of input is a JSON object, and is answered with one. Slack's and Shopify's sign nothing.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import * as github from "@octokit/webhooks-methods";
import "@shopify/shopify-api/adapters/node";
import { LogSeverity, shopifyApi } from "@shopify/shopify-api";

const require = createRequire(import.meta.url);
const standard = require("standardwebhooks");
const svix = require("svix");
const slack = require("@slack/bolt");
const twilio = require("twilio");
const Stripe = require("stripe");

const stripe = new (Stripe.default ?? Stripe)("sk_test_none");

// valid says whether verify takes a message. The libraries throw if not, and some if what they have
// verified is no JSON.
function valid(verify) {
  try {
    return verify() !== false;
  } catch (e) {
    if (e instanceof SyntaxError) return true;
    return false;
  }
}

// params are the fields of a form, as frameworks hand them to Twilio's library.
function params(body) {
  const fields = {};
  for (const [name, value] of new URLSearchParams(body)) {
    if (!(name in fields)) fields[name] = value;
    else fields[name] = [].concat(fields[name], value);
  }
  return fields;
}

const isForm = (m) => m.type.startsWith("application/x-www-form-urlencoded");

const providers = {
  standard: {
    sign: (m) => ({
      "webhook-id": m.id,
      "webhook-timestamp": String(m.at),
      "webhook-signature": new standard.Webhook(m.secret).sign(m.id, new Date(m.at * 1000), m.body),
    }),
    verify: (m) => valid(() => new standard.Webhook(m.secret).verify(m.body, m.header, { jsonParse: false })),
  },
  svix: {
    sign: (m) => ({
      "svix-id": m.id,
      "svix-timestamp": String(m.at),
      "svix-signature": new svix.Webhook(m.secret).sign(m.id, new Date(m.at * 1000), m.body),
    }),
    verify: (m) => valid(() => new svix.Webhook(m.secret).verify(m.body, m.header)),
  },
  github: {
    sign: async (m) => ({ "x-hub-signature-256": await github.sign(m.secret, m.body.toString()) }),
    verify: async (m) => m.body.length > 0 && github.verify(m.secret, m.body.toString(), m.header["x-hub-signature-256"]),
  },
  stripe: {
    sign: (m) => ({
      "stripe-signature": stripe.webhooks.generateTestHeaderString({
        payload: m.body.toString(),
        secret: m.secret,
        timestamp: m.at,
      }),
    }),
    verify: (m) =>
      valid(() => stripe.webhooks.signature.verifyHeader(m.body, m.header["stripe-signature"], m.secret, 300)),
  },
  slack: {
    verify: (m) =>
      slack.isValidSlackRequest({
        signingSecret: m.secret,
        body: m.body.toString(),
        headers: {
          "x-slack-signature": m.header["x-slack-signature"],
          "x-slack-request-timestamp": Number(m.header["x-slack-request-timestamp"]),
        },
      }),
  },
  shopify: {
    verify: async (m) => {
      const api = shopifyApi({
        apiKey: "key",
        apiSecretKey: m.secret,
        apiVersion: "2025-01",
        hostName: "shop.example",
        isEmbeddedApp: false,
        logger: { level: LogSeverity.Error, log: () => {} },
      });
      const name = (n) => (m.header["shopify-hmac-sha256"] ? `shopify-${n}` : `x-shopify-${n}`);
      const headers = { ...m.header };
      for (const n of ["topic", "shop-domain", "api-version", "webhook-id", "event-id"]) headers[name(n)] = "x";
      const checked = await api.webhooks.validate({
        rawBody: m.body.toString(),
        rawRequest: { method: "POST", url: "/", headers },
      });
      return checked.valid;
    },
  },
  twilio: {
    sign: (m) => ({
      "x-twilio-signature": twilio.getExpectedTwilioSignature(m.secret, m.url, isForm(m) ? params(m.body.toString()) : {}),
    }),
    verify: (m) => {
      const signature = m.header["x-twilio-signature"];
      return isForm(m)
        ? twilio.validateRequest(m.secret, signature, m.url, params(m.body.toString()))
        : twilio.validateRequestWithBody(m.secret, signature, m.url, m.body.toString());
    },
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const m = JSON.parse(line);
    m.body = Buffer.from(m.body, "base64");
    const provider = providers[m.provider];
    answer = m.header ? { valid: await provider.verify(m) } : { header: await provider.sign(m) };
  } catch (e) {
    answer = { error: String(e.stack) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
