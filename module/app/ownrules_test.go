package app

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

// ownDeliverer returns a Deliverer with these rules.
func ownDeliverer(t *testing.T, rules OwnRules) (*Deliverer, error) {
	t.Helper()
	d, err := (&App{Deliver: new(DeliveryRules)}).NewDeliverer(DeliveryRules{}, rules)
	if err == nil {
		t.Cleanup(d.Close)
	}
	return d, err
}

func TestHeadersOfADeliveryHaveTheirValues(t *testing.T) {
	t.Setenv("TEST_TOKEN", "{http.callback.id} {env.OTHER}")
	t.Setenv("OTHER", "expanded twice")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := ownDeliverer(t, OwnRules{Headers: map[string]string{
		"authorization": "Bearer {env.TEST_TOKEN}", "X-File": "{file." + file + "}", "X-Plain": `{"a":1}`,
		"X-Callback": "{http.callback.name}/{http.callback.correlation_id}",
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := &callback.Record{Name: "orders", CorrelationID: "ours", Delivery: &callback.Delivery{CorrelationID: "{env.OTHER}"}}
	want := http.Header{
		"Authorization": {"Bearer {http.callback.id} {env.OTHER}"}, "X-File": {"from a file"}, "X-Plain": {`{"a":1}`}, "X-Callback": {"orders/{env.OTHER}"},
	}
	if got := d.header(r); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	r.Delivery.CorrelationID = ""
	if got := d.header(r).Get("X-Callback"); got != "orders/ours" {
		t.Errorf("got %s", got)
	}
}

// A configuration is validated where its secrets are not at hand; to run it needs them.
func TestHeaderOfADeliveryIsRefusedWithoutItsValue(t *testing.T) {
	t.Setenv("TEST_EMPTY", "")
	t.Setenv("TEST_LINES", "secret\r\nX-Evil: 1")
	for text, want := range map[string]string{
		"{env.TEST_EMPTY}": "header: X-A: {env.TEST_EMPTY} is empty or not set",
		"{env.TEST_UNSET}": "header: X-A: {env.TEST_UNSET} is empty or not set",
	} {
		if d, err := ownDeliverer(t, OwnRules{Headers: map[string]string{"x-a": text}}); err != nil || d.missing == nil || d.missing.Error() != want {
			t.Errorf("%s: %v, %+v", text, err, d)
		}
	}
	const want = "header: X-A: {env.TEST_LINES} has a character that no header can hold, such as a line break"
	if _, err := ownDeliverer(t, OwnRules{Headers: map[string]string{"x-a": "a{env.TEST_LINES}"}}); err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestHeadersThatADeliverySetsItselfAreRefused(t *testing.T) {
	for _, name := range []string{
		"Host", "webhook-id", "Webhook_Timestamp", "WEBHOOK-SIGNATURE", "Callback-Origin", "Content-Length", "Transfer-Encoding", "Connection", "Te", "Trailer",
		"Upgrade", "Expect", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Http2-Settings", "Alt-Svc", "Content-Encoding", "Content-Digest", "Digest",
		"Content-Md5", "Repr-Digest", "Traceparent", "Tracestate",
	} {
		err := (&OwnRules{Headers: map[string]string{name: "{env.A}"}}).Check()
		if err == nil || !strings.HasPrefix(err.Error(), "header: "+name+" cannot be set: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "Content-Type", "User-Agent", "Idempotency-Key", "Accept"} {
		if err := (&OwnRules{Headers: map[string]string{name: "{env.A}"}}).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretInAHeaderNeedsTheHostsThatMayGetIt(t *testing.T) {
	for name, c := range map[string]struct {
		rules   OwnRules
		named   bool
		refused bool
	}{
		"secret, any host":         {OwnRules{Headers: map[string]string{"A": "1", "B": "x{env.T}"}}, true, true},
		"secret in a file":         {OwnRules{Headers: map[string]string{"B": "{file./run/t}"}}, true, true},
		"secret, one host":         {OwnRules{Headers: map[string]string{"B": "{env.T}"}, Only: []string{"a.example"}}, true, false},
		"secret, no client's URL":  {OwnRules{Headers: map[string]string{"B": "{env.T}"}}, false, false},
		"no secret, any host":      {OwnRules{Headers: map[string]string{"B": "{http.callback.id}"}}, true, false},
		"name of the host, public": {OwnRules{Headers: map[string]string{"B": "{system.hostname}"}}, true, false},
	} {
		if err := c.rules.CheckTargets(c.named); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
