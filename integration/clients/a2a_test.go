package clients_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/clients"
	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// waitsForTasks begins a route for apps that can only wait for the end of a task, up to the proxy in the
// block fetch.
const waitsForTasks = "callback hold 1m {\n" +
	"name tasks\nonly json method message/send\ninject off\n" +
	"inject json params.configuration.blocking json:false\n" +
	"inject json params.configuration.pushNotificationConfig.url {http.callback.url}\n" +
	"ack json result.status.state submitted working\n" +
	"correlation_id ack json result.id\n" +
	"succeeded json status.state completed input-required auth-required\n" +
	"failed json status.state failed canceled rejected\n" +
	"fetch to / {\nmethod POST\nrequest_header Content-Type application/json\nrequest_body {\n" +
	"set `{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/get\",\"params\":{\"id\":\"{http.callback.correlation_id}\"}}`\n}\n"

// TestClientAndAgentOfA2AMeet has a client and an agent that are made with the SDK, and Caddy between
// them as in examples/a2a.
func TestClientAndAgentOfA2AMeet(t *testing.T) {
	t.Parallel()
	type notification struct{ token, state string }
	notifications := make(chan notification, 10)
	inbox := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var task struct{ Status struct{ State string } }
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&task); err != nil {
			t.Error(err)
		}
		notifications <- notification{r.Header.Get("X-A2A-Notification-Token"), task.Status.State}
	}))
	t.Cleanup(inbox.Close)
	c := harness.New(t)
	agent := "reverse_proxy unix/" + c.Path("partner.sock") + "\n"
	c.Start(t, harness.Config{Private: "handle_path /wait {\n" + waitsForTasks + agent + "}\n}\n" + agent + "}\n" +
		"callback park {\nname notifications\nonly json method message/send\ninject off\nanswer ack\n" +
		"progress json status.state submitted working\ncopy_headers Content-Type X-A2A-Notification-Token\n" +
		"deliver {\nfrom json params.configuration.pushNotificationConfig.url\nallow " + inbox.URL + "\n}\n}\n" + agent})

	said := clients.Run(t, "a2a.mjs", "APP_SOCKET="+c.Path("app.sock"), "CALLBACKS_SOCKET="+c.Path("callbacks.sock"),
		"PARTNER_SOCKET="+c.Path("partner.sock"), "INBOX="+inbox.URL)
	if want := "waited: completed, a book\nfailing: true\nsent: submitted\ngot: completed\nnotified: 200\n"; said != want {
		t.Errorf("the client says\n%s, want\n%s", said, want)
	}
	if got, want := harness.Receive(t, "a notification", notifications), (notification{"T-1", "completed"}); got != want {
		t.Errorf("the client is notified of %+v, want %+v", got, want)
	}
}
