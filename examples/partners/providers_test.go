package partners

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

// The events are those of the providers' documentation, shortened where nothing reads them.
const (
	plainSecret    = "0123456789abcdef0123456789abcdef"
	standardSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

func stripeEvent(event, object, status string) string {
	return `{"id":"evt_1NG8Du2eZvKYlo2CUI79` + event + `","object":"event","api_version":"2024-06-20","created":1686089970,"livemode":false,"pending_webhooks":1,` +
		`"type":"` + event + `","data":{"object":{"id":"` + object + `","object":"payment_intent","amount":2000,"currency":"eur","status":"` + status + `",` +
		`"last_payment_error":` + map[bool]string{true: `{"code":"card_declined","message":"Your card was declined.","type":"card_error"}`, false: "null"}[status == "requires_payment_method"] + `}}}`
}

func workflowRun(action, id, conclusion string) string {
	return `{"action":"` + action + `","workflow_run":{"id":` + id + `,"name":"Deploy","event":"workflow_dispatch","status":"` + action + `","conclusion":` + conclusion + `,"run_attempt":1},` +
		`"repository":{"id":35129377,"full_name":"Codertocat/Hello-World"},"sender":{"login":"Codertocat"}}`
}

func slackClick(ts, value string) string {
	return url.Values{"payload": {`{"type":"block_actions","team":{"id":"T9TK3CUKW","domain":"example"},"user":{"id":"UA8RXUSPL","username":"jtorrance"},"api_app_id":"AABA1ABCD",` +
		`"container":{"type":"message","message_ts":"` + ts + `","channel_id":"CBR2V3XEX","is_ephemeral":false},"trigger_id":"12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",` +
		`"channel":{"id":"CBR2V3XEX","name":"review-updates"},"actions":[{"action_id":"WaXA","block_id":"=qXel","text":{"type":"plain_text","text":"View","emoji":true},"value":"` + value + `","type":"button","action_ts":"1548426417.840180"}]}`}}.Encode()
}

func bulkOperation(id, status, code string) string {
	return `{"admin_graphql_api_id":"` + id + `","completed_at":"2024-01-01T11:00:00-05:00","created_at":"2024-01-01T10:00:00-05:00","error_code":` + code + `,"status":"` + status + `","type":"query"}`
}

func prediction(status, message string) string {
	return `{"id":"ufawqhfynnddngldkgtslldrkq","version":"5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa","created_at":"2022-04-26T22:13:06.224088Z","started_at":null,"completed_at":null,` +
		`"status":"` + status + `","input":{"text":"Alice"},"output":null,"error":` + message + `,"logs":null,"metrics":{}}`
}

func openaiEvent(event, id string) string {
	return `{"object":"event","id":"evt_` + event + `","type":"` + event + `","created_at":1719168000,"data":{"id":"` + id + `"}}`
}

func mollieEvent(event, id string) string {
	return `{"resource":"event","id":"event_GvJ8WHrp5isUdRub9CJyH","type":"` + event + `","entityId":"` + id + `","createdAt":"2024-12-16T15:59:04.0Z","_links":{"self":{"href":"https://api.mollie.com/v2/events/event_GvJ8WHrp5isUdRub9CJyH","type":"application/hal+json"}}}`
}

// fieldOf returns a function that reads the callback URL from a field of the request to the API.
func fieldOf(name string) func(*testing.T, request) string {
	return func(t *testing.T, r request) string {
		t.Helper()
		form, err := url.ParseQuery(r.body)
		if err != nil {
			t.Fatal(err)
		}
		return form.Get(name)
	}
}

func webhookOf(t *testing.T, r request) string {
	t.Helper()
	var body struct {
		Webhook string
		Events  []string `json:"webhook_events_filter"`
		Input   json.RawMessage
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || len(body.Events) != 1 || body.Events[0] != "completed" || len(body.Input) == 0 {
		t.Fatalf("the provider got %s: %v", r.body, err)
	}
	return body.Webhook
}

var providers = map[string]provider{
	"stripe": {
		global: "import partners/stripe_key.caddy", server: "import partners/stripe_server.caddy", options: "import partners/stripe.caddy payment_intent.succeeded",
		secret: "whsec_" + plainSecret, sign: signStripe, sends: jsonType,
		path: "/v1/payment_intents", contentType: formType, request: "amount=2000&currency=eur&confirm=true",
		ackStatus: http.StatusOK, ack: `{"id":"pi_ID","object":"payment_intent","status":"processing"}`,
		nobodys: []event{{"an event of another object", stripeEvent("payment_intent.succeeded", "pi_other", "succeeded")}, {"an event of no object", `{"object":"event","type":"ping","data":{}}`}},
		pending: []event{{"an event on the way", stripeEvent("payment_intent.created", "pi_ID", "requires_confirmation")}, {"another one", stripeEvent("payment_intent.processing", "pi_ID", "processing")}},
		success: stripeEvent("payment_intent.succeeded", "pi_ID", "succeeded"),
		failed:  stripeEvent("payment_intent.payment_failed", "pi_ID", "requires_payment_method"), errorIs: "card_declined",
	},
	"github": {
		global: "import partners/github_key.caddy", server: "import partners/github_server.caddy", options: "import partners/github.caddy success",
		secret: plainSecret, sign: signGitHub, sends: jsonType,
		path: "/repos/Codertocat/Hello-World/actions/workflows/deploy.yml/dispatches", contentType: jsonType, request: `{"ref":"main"}`,
		ackStatus: http.StatusOK, ack: `{"workflow_run_id":ID,"run_url":"https://api.github.com/repos/Codertocat/Hello-World/actions/runs/ID","html_url":"https://github.com/Codertocat/Hello-World/actions/runs/ID"}`,
		nobodys: []event{{"an event of another run", workflowRun("completed", "7", `"success"`)}, {"the ping of a webhook", `{"zen":"Design for failure.","hook_id":1}`}},
		pending: []event{{"the run's begin", workflowRun("requested", "ID", "null")}, {"the run's progress", workflowRun("in_progress", "ID", "null")}},
		success: workflowRun("completed", "ID", `"success"`), failed: workflowRun("completed", "ID", `"timed_out"`), errorIs: "timed_out",
	},
	"slack": {
		global: "import partners/slack_key.caddy", server: "import partners/slack_server.caddy", options: "import partners/slack.caddy approve",
		secret: plainSecret, sign: signSlack, sends: formType,
		path: "/api/chat.postMessage", contentType: jsonType, request: `{"channel":"CBR2V3XEX","text":"Deploy?","blocks":[]}`,
		ackStatus: http.StatusOK, ack: `{"ok":true,"channel":"CBR2V3XEX","ts":"1503435956.00ID","message":{}}`,
		nobodys: []event{{"a click in another message", slackClick("1503435956.7", "approve")}, {"what is in no message", url.Values{"payload": {`{"type":"view_closed"}`}}.Encode()}},
		success: slackClick("1503435956.00ID", "approve"), failed: slackClick("1503435956.00ID", "deny"), errorIs: "deny",
	},
	"shopify": {
		global: "import partners/shopify_key.caddy", server: "import partners/shopify_server.caddy", options: "import partners/shopify.caddy completed",
		secret: plainSecret, sign: signShopify, sends: jsonType,
		path: "/admin/api/2026-01/graphql.json", contentType: jsonType, request: `{"query":"mutation { bulkOperationRunQuery(query: \"{}\") { bulkOperation { id status } userErrors { message } } }"}`,
		ackStatus: http.StatusOK, ack: `{"data":{"bulkOperationRunQuery":{"bulkOperation":{"id":"gid://shopify/BulkOperation/ID","status":"CREATED"},"userErrors":[]}}}`,
		nobodys: []event{{"another operation", bulkOperation("gid://shopify/BulkOperation/7", "completed", "null")}, {"a product", `{"admin_graphql_api_id":"gid://shopify/Product/788032119674292922","status":"active"}`}},
		pending: []event{{"an operation on its way", bulkOperation("gid://shopify/BulkOperation/ID", "running", "null")}},
		success: bulkOperation("gid://shopify/BulkOperation/ID", "completed", "null"),
		failed:  bulkOperation("gid://shopify/BulkOperation/ID", "failed", `"ACCESS_DENIED"`), errorIs: "ACCESS_DENIED",
	},
	"twilio message": {
		global: "import partners/twilio_key.caddy", options: "import partners/twilio_message.caddy delivered",
		secret: plainSecret, sign: signTwilio, sends: formType, url: fieldOf("StatusCallback"),
		path: "/2010-04-01/Accounts/AC0/Messages.json", contentType: formType, request: "To=%2B15558675310&From=%2B15017122661&Body=Hi",
		ackStatus: http.StatusCreated, ack: `{"sid":"SMID","status":"queued"}`,
		pending: []event{{"a message on its way", "AccountSid=AC0&From=%2B15017122661&MessageSid=SMID&MessageStatus=sending&SmsSid=SMID&SmsStatus=sending&To=%2B15558675310"}, {"a message that is sent", "AccountSid=AC0&From=%2B15017122661&MessageSid=SMID&MessageStatus=sent&SmsSid=SMID&SmsStatus=sent&To=%2B15558675310"}},
		success: "AccountSid=AC0&From=%2B15017122661&MessageSid=SMID&MessageStatus=delivered&SmsSid=SMID&SmsStatus=delivered&To=%2B15558675310",
		failed:  "AccountSid=AC0&ErrorCode=30008&From=%2B15017122661&MessageSid=SMID&MessageStatus=undelivered&SmsSid=SMID&SmsStatus=undelivered&To=%2B15558675310", errorIs: "30008",
	},
	"twilio call": {
		global: "import partners/twilio_key.caddy", options: "import partners/twilio_call.caddy completed",
		secret: plainSecret, sign: signTwilio, sends: formType, url: fieldOf("StatusCallback"),
		path: "/2010-04-01/Accounts/AC0/Calls.json", contentType: formType, request: "To=%2B15558675310&From=%2B15017122661&Url=https%3A%2F%2Fdemo.example.com",
		ackStatus: http.StatusCreated, ack: `{"sid":"CAID","status":"queued"}`,
		pending: []event{{"a call that rings", "AccountSid=AC0&CallSid=CAID&CallStatus=ringing&Direction=outbound-api"}, {"a call that goes on", "AccountSid=AC0&CallSid=CAID&CallStatus=in-progress&Direction=outbound-api"}},
		success: "AccountSid=AC0&CallDuration=42&CallSid=CAID&CallStatus=completed&Direction=outbound-api",
		failed:  "AccountSid=AC0&CallSid=CAID&CallStatus=no-answer&Direction=outbound-api", errorIs: "no-answer",
	},
	"replicate": {
		global: "import partners/replicate_key.caddy", options: "import partners/replicate.caddy succeeded\nimport partners/replicate_poll.caddy",
		secret: standardSecret, sign: signStandard, sends: jsonType, url: webhookOf,
		path: "/v1/predictions", contentType: jsonType, request: `{"version":"5c7d","input":{"text":"Alice"},"webhook":"https://client.example.com"}`,
		ackStatus: http.StatusCreated, ack: prediction("starting", "null"),
		pending: []event{{"a prediction's begin", prediction("starting", "null")}, {"a prediction's progress", prediction("processing", "null")}},
		success: prediction("succeeded", "null"), failed: prediction("failed", `"out of memory"`), errorIs: "failed",
	},
	"openai": {
		global: "import partners/openai_key.caddy", server: "import partners/openai_server.caddy", options: "import partners/openai.caddy response.completed\nimport partners/openai_fetch.caddy",
		secret: standardSecret, sign: signStandard, sends: jsonType,
		path: "/v1/responses", contentType: jsonType, request: `{"model":"gpt-5","input":"Write a very long novel","background":true}`,
		ackStatus: http.StatusOK, ack: `{"id":"resp_ID","object":"response","status":"queued","background":true}`,
		nobodys: []event{{"another response", openaiEvent("response.completed", "resp_7")}, {"a batch", openaiEvent("batch.completed", "batch_abc123")}},
		success: openaiEvent("response.completed", "resp_ID"), failed: openaiEvent("response.incomplete", "resp_ID"), errorIs: "response.incomplete",
		fetchedFrom: "/v1/responses/resp_ID", fetchedWith: "Bearer sk-of-the-sidecar", fetchedBody: `{"id":"resp_1001","status":"completed","output":[]}`,
	},
	"mollie": {
		global: "import partners/mollie_key.caddy", server: "import partners/mollie_server.caddy", options: "import partners/mollie.caddy payment.paid\nimport partners/mollie_fetch.caddy",
		secret: plainSecret, sign: signMollie, sends: jsonType,
		path: "/v2/payments", contentType: jsonType, request: `{"amount":{"currency":"EUR","value":"10.00"},"description":"Order #12345","redirectUrl":"https://webshop.example.org/order/12345/"}`,
		ackStatus: http.StatusCreated, ack: `{"resource":"payment","id":"tr_ID","status":"open"}`,
		nobodys: []event{{"another payment", mollieEvent("payment.paid", "tr_7")}, {"a ping", `{"resource":"event","type":"hook.ping"}`}},
		pending: []event{{"a payment on its way", mollieEvent("payment.pending", "tr_ID")}, {"an authorized payment", mollieEvent("payment.authorized", "tr_ID")}},
		success: mollieEvent("payment.paid", "tr_ID"), failed: mollieEvent("payment.expired", "tr_ID"), errorIs: "payment.expired",
		fetchedFrom: "/v2/payments/tr_ID", fetchedWith: "Bearer live-of-the-sidecar", fetchedBody: `{"resource":"payment","id":"tr_1001","status":"paid"}`,
	},
}
