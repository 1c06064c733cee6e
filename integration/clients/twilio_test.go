package clients_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/clients"
	"github.com/caddy-callback/caddy-callback/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// status is what is delivered to a client of Twilio's.
type status struct {
	uri, signature string
	fields         url.Values
}

// TestClientOfTwilioGetsItsStatuses has the client send messages through the sidecar, to a stand-in
// that signs with Twilio's own library.
func TestClientOfTwilioGetsItsStatuses(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef0123456789abcdef"
	statuses := make(chan status, 10)
	inbox := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil {
			t.Error(err)
		}
		fields, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		statuses <- status{r.RequestURI, r.Header.Get("X-Twilio-Signature"), fields}
	}))
	t.Cleanup(inbox.Close)
	c := harness.New(t)
	c.Setenv("TWILIO", token)
	c.NeverLog(token)
	c.Start(t, harness.Config{
		Callback: "key twilio twilio:{env.TWILIO}",
		Private: "callback park {\n" +
			"name messages\ninject off\nanswer ack\nkey twilio\n" +
			"progress form MessageStatus accepted queued sending sent\n" +
			"succeeded form MessageStatus delivered read\n" +
			"failed form MessageStatus failed undelivered\n" +
			"deliver {\nfrom form StatusCallback\nallow " + inbox.URL + "\n}\n}\n" +
			"reverse_proxy unix/" + c.Path("partner.sock") + "\n",
	})

	said := clients.Run(t, "twilio.mjs", "APP_SOCKET="+c.Path("app.sock"), "CALLBACKS_SOCKET="+c.Path("callbacks.sock"),
		"PARTNER_SOCKET="+c.Path("partner.sock"), "INBOX="+inbox.URL, "TWILIO_TOKEN="+token)
	const post = "api: POST /2010-04-01/Accounts/AC.../Messages.json, "
	want := post + "a € & more, http://callbacks.test/cb/...\nclient: 34, queued, a € & more\nforged: 401\nsent: 200\ndelivered: 200\n" +
		post + "lost, http://callbacks.test/cb/...\nclient: 34, queued, lost\nforged: 401\nsent: 200\nundelivered: 200\n" +
		post + "no callback, undefined\nclient: 34, queued, no callback\n"
	if said != want {
		t.Errorf("the client and the stand-in say\n%s, want\n%s", said, want)
	}
	got := make(map[string]status)
	for range 2 {
		s := harness.Receive(t, "a status", statuses)
		got[s.uri] = s
	}
	for uri, want := range map[string]string{"/delivered?a=b": "delivered", "/undelivered": "undelivered"} {
		if s := got[uri]; s.fields.Get("MessageStatus") != want || len(s.fields.Get("MessageSid")) != 34 || s.signature != "" {
			t.Errorf("%s gets %+v, want the status %s", uri, s, want)
		}
	}
}
