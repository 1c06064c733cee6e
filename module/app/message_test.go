package app

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/deliver"
	"github.com/caddy-callback/caddy-callback/module/engine"
)

// messageOf returns the message that delivers the result of a record, and its body.
func messageOf(t *testing.T, p *callback.Policy, r *callback.Record, d *Deliverer) (deliver.Message, string) {
	t.Helper()
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	limits := testLimits
	limits.MaxBody = 1 << 20
	e := engine.New(newClosingStore(nil), limits, zap.NewNop(), witness{})
	t.Cleanup(func() { _ = e.Close() })
	m := worker{&Runtime{Engine: e}}.message(&engine.Callback{Issued: callback.Issued{Policy: p, Record: r}}, d, 1)
	var content string
	// Each attempt opens the body more than once.
	for range 2 {
		body, size, err := m.Body(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(body)
		if err != nil || int64(len(all)) != size || content != "" && content != string(all) {
			t.Fatalf("%d bytes of %d, after %q: %q, %v", len(all), size, content, all, err)
		}
		content = string(all)
		_ = body.Close()
	}
	return m, content
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

func TestEnvelopeHoldsWhatWouldBeDelivered(t *testing.T) {
	const text = `{"phase":"{http.callback.result.phase}","status":{http.callback.result.status},"code":"{http.callback.result.error_code}","body":{http.callback.result.body}}`
	called := func(contentType, coding string, body []byte) *callback.Call {
		header := callback.Header{{Name: "Content-Type", Value: contentType}, {Name: "Link", Value: "<a>"}}
		if coding != "" {
			header = append(header, callback.Field{Name: "Content-Encoding", Value: coding})
		}
		return &callback.Call{Method: "POST", Query: "a=1", Header: header, Body: callback.NewBody(body)}
	}
	for name, c := range map[string]struct {
		p    callback.Policy
		r    callback.Record
		want string
	}{
		"JSON":            {r: callback.Record{Phase: callback.Resolved, Call: called("application/json", "", []byte(`{"b":2}`))}, want: `{"phase":"resolved","status":200,"code":"","body":{"b":2}}`},
		"text":            {r: callback.Record{Phase: callback.Resolved, Call: called("text/plain", "", []byte("a\nb"))}, want: `{"phase":"resolved","status":200,"code":"","body":"a\nb"}`},
		"packed":          {r: callback.Record{Phase: callback.Resolved, Call: called("application/json", "gzip", gzipped(t, `[1]`))}, want: `{"phase":"resolved","status":200,"code":"","body":[1]}`},
		"packed, damaged": {r: callback.Record{Phase: callback.Resolved, Call: called("application/json", "gzip", []byte("\xff"))}, want: `{"phase":"resolved","status":200,"code":"","body":"/w=="}`},
		"a query":         {r: callback.Record{Phase: callback.Resolved, Call: called("", "", nil)}, want: `{"phase":"resolved","status":200,"code":"","body":{"a":"1"}}`},
		"whole call": {p: callback.Policy{Result: callback.ResultCall}, r: callback.Record{Phase: callback.Resolved, Call: called("text/plain", "", []byte("b"))},
			want: `{"phase":"resolved","status":200,"code":"","body":{"method":"POST","query":{"a":"1"},"headers":{"Content-Type":"text/plain","Link":"\u003ca\u003e"},"body":"b"}}`},
		"answer": {r: callback.Record{Phase: callback.Failed, Failure: &callback.Failure{ErrorCode: "404"}, Answer: &callback.Response{Status: 404, Body: callback.NewBody([]byte("none"))}},
			want: `{"phase":"failed","status":404,"code":"404","body":"none"}`},
		"expired": {r: callback.Record{Phase: callback.Expired}, want: `{"phase":"failed","status":424,"code":"expired","body":{"type":`},
	} {
		t.Run(name, func(t *testing.T) {
			c.p.Shape = &callback.Shape{Body: text}
			c.r.Delivery = new(callback.Delivery)
			m, body := messageOf(t, &c.p, &c.r, new(Deliverer))
			if body != c.want && (c.r.Phase != callback.Expired || !strings.HasPrefix(body, c.want)) {
				t.Errorf("%s, want %s", body, c.want)
			}
			if got := m.Header["Content-Type"]; len(got) != 1 || got[0] != "application/json" || m.Header.Get("Content-Encoding") != "" {
				t.Errorf("header is %v", m.Header)
			}
			if m.Header.Get("X-Link-Result-Status") == "" || m.Header.Get("X-Link-Status") == "" {
				t.Errorf("the wire headers are missing: %v", m.Header)
			}
		})
	}
}

func TestDeliveryIsAnEvent(t *testing.T) {
	p := &callback.Policy{BaseURL: "https://app.example.com/x/", Shape: &callback.Shape{Format: callback.FormatCloudEvents, Method: http.MethodPut}}
	r := &callback.Record{
		Name: "orders", Phase: callback.Resolved, FinishedAt: 1_700_000_000_999, Delivery: new(callback.Delivery),
		Call: &callback.Call{ReceivedAt: 1_700_000_000_123, Header: callback.Header{{Name: "Content-Type", Value: "text/x-own"}, {Name: "Ce-Type", Value: "the partner's"}}, Body: callback.NewBody([]byte("data"))},
	}
	p.CopyHeaders = []string{"Content-Type", "Ce-Type"}
	m, body := messageOf(t, p, r, new(Deliverer))
	for name, want := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": r.ID.String(), "Ce-Source": "https://app.example.com/x#orders", "Ce-Type": "callback.resolved",
		"Ce-Subject": r.ID.String(), "Ce-Time": "2023-11-14T22:13:20.123Z", "Content-Type": "text/x-own",
	} {
		if got := m.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	if body != "data" || m.Method != http.MethodPut {
		t.Errorf("%s %s", m.Method, body)
	}
	r.Phase, r.Call, r.Name = callback.Closed, nil, ""
	m, _ = messageOf(t, p, r, new(Deliverer))
	if m.Header.Get("Ce-Time") != "2023-11-14T22:13:20.999Z" || m.Header.Get("Ce-Type") != "callback.failed" || m.Header.Get("Ce-Source") != "https://app.example.com/x" || m.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("header is %v", m.Header)
	}
}
