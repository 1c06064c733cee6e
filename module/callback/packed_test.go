package callback_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// packers pack in the ways that are looked into, by the coding that a sender names.
var packers = map[string]func(io.Writer) (io.WriteCloser, error){
	"gzip":     func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"X-GZip":   func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"deflate":  func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil },
	"Deflate ": func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) },
	"zstd":     func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
}

func packed(t *testing.T, coding, content string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := packers[coding](&b)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// packedCall returns a call with a packed body, and the memory in which it is looked into.
func packedCall(t *testing.T, coding, body string, lines ...string) (*callback.Call, *memory.Pool) {
	t.Helper()
	c := newCall("POST", body, append(lines, "Content-Encoding", coding)...)
	p := new(memory.Pool)
	p.SetLimits(10<<20, 1<<20)
	c.Unpacked = unpack.NewBody(c.Body.Data, 1<<20, p.For(memory.Nobody))
	t.Cleanup(func() {
		if c.Unpacked.Release(); p.Used() != 0 {
			t.Errorf("%d bytes are still counted", p.Used())
		}
	})
	return c, p
}

func TestRulesLookIntoPackedBodies(t *testing.T) {
	t.Parallel()
	text := at("json", "why")
	p := compiled(t, callback.Policy{
		Failed: []callback.Match{match("json", "status", "failed")}, Progress: []callback.Match{match("json", "status", "running")},
		Succeeded: []callback.Match{match("json", "status", "ok")}, ErrorText: &text,
	})
	for coding := range packers {
		for body, want := range map[string]callback.Phase{
			`{"status":"failed","why":"too late"}`: callback.Failed, `{"status":"running"}`: callback.Waiting,
			`{"status":"ok"}`: callback.Resolved, `{"status":"odd"}`: callback.Waiting,
		} {
			c, _ := packedCall(t, coding, packed(t, coding, body))
			v := receive(waiting(p), p, c, born)
			if v.Next == nil || v.Next.Phase != want {
				t.Fatalf("%s, %s: %+v", coding, body, v)
			}
			if want == callback.Failed && v.Next.Failure.ErrorText != "too late" {
				t.Errorf("%s: the error text is %q", coding, v.Next.Failure.ErrorText)
			}
			if want != callback.Waiting && string(v.Next.Call.Body.Data) != string(c.Body.Data) {
				t.Errorf("%s: what is kept is not what came", coding)
			}
		}
	}
}

func TestPackedBodyIsLookedIntoOnlyWhereTheOrderComesToIt(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Failed: []callback.Match{match("header", "X-State", "failed"), match("json", "status", "failed")}})
	for name, lines := range map[string][]string{"the status": {statusHeader, "Failed"}, "an earlier line": {"X-State", "failed"}} {
		c, pool := packedCall(t, "gzip", "no gzip at all", lines...)
		if v := receive(waiting(p), p, c, born); v.Next == nil || v.Next.Phase != callback.Failed && name == "the status" {
			t.Errorf("%s decides: %+v", name, v)
		}
		if name == "the status" && pool.Used() != 0 {
			t.Errorf("%s decides, and %d bytes are taken", name, pool.Used())
		}
	}
	free := compiled(t, callback.Policy{})
	c, pool := packedCall(t, "gzip", "no gzip at all")
	if v := receive(waiting(free), free, c, born); v.Kind != callback.Accepted || pool.Used() != 0 {
		t.Errorf("nothing depends on it: %+v", v)
	}
}

func TestPackedBodyThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	good := `{"status":"ok"}`
	rules := callback.Policy{Failed: []callback.Match{match("json", "status", "failed")}}
	for name, c := range map[string]struct {
		coding, body string
		status       int
	}{
		"garbage":        {"gzip", good, 0},
		"cut short":      {"gzip", packed(t, "gzip", good)[:12], 0},
		"twice":          {"gzip", packed(t, "gzip", good) + packed(t, "gzip", good), 0},
		"a bomb":         {"gzip", packed(t, "gzip", string(make([]byte, 1<<20))), 0},
		"no JSON in it":  {"zstd", packed(t, "zstd", "status=ok"), 0},
		"two codings":    {"gzip, gzip", packed(t, "gzip", packed(t, "gzip", good)), http.StatusUnsupportedMediaType},
		"another one":    {"br", good, http.StatusUnsupportedMediaType},
		"compress":       {"compress", good, http.StatusUnsupportedMediaType},
		"one of nobody":  {"rot13", good, http.StatusUnsupportedMediaType},
		"not what it is": {"deflate", packed(t, "gzip", good), 0},
	} {
		p := compiled(t, rules)
		call, _ := packedCall(t, c.coding, c.body)
		if v := receive(waiting(p), p, call, born); v.Kind != callback.Refused || v.Next != nil || !v.Fault.IsUnreadable() || v.Fault.Status != c.status {
			t.Errorf("%s: %+v", name, v)
		}
		if v := waiting(p).Resolve(p, call, lookIn(waiting(p), p, call), born); v.Kind != callback.Accepted {
			t.Errorf("%s, by hand: %+v", name, v)
		}
		once := rules
		once.Once = true
		p = compiled(t, once)
		call, _ = packedCall(t, c.coding, c.body)
		if v := receive(waiting(p), p, call, born); v.Kind != callback.Refused || v.Next == nil || v.Next.Phase != callback.Failed {
			t.Errorf("%s, not retryable: %+v", name, v)
		}
	}
}

func TestErrorTextInAPackedBodyNeverRefuses(t *testing.T) {
	t.Parallel()
	text := at("json", "why")
	p := compiled(t, callback.Policy{ErrorText: &text, ErrorCode: &text})
	for _, coding := range []string{"gzip", "br"} {
		c, _ := packedCall(t, coding, "garbage", statusHeader, "Failed")
		if v := receive(waiting(p), p, c, born); v.Kind != callback.Accepted || v.Next.Failure.ErrorText != "" || v.Next.Failure.ErrorCode != "" {
			t.Errorf("%s: %+v", coding, v)
		}
	}
}

func TestReplyShowsWhatAPackedBodyHolds(t *testing.T) {
	t.Parallel()
	p := compiled(t, callback.Policy{Respond: &callback.Respond{Status: 200, Body: "{http.callback.call.body.challenge}{http.callback.call.form.a}"}})
	c, _ := packedCall(t, "gzip", packed(t, "gzip", `{"challenge":"xyz"}`))
	if v := receive(waiting(p), p, c, born); v.Kind != callback.Accepted || v.Reply.Body != "xyz" {
		t.Errorf("%+v", v)
	}
}

func TestPackedCallNamesItsCorrelationID(t *testing.T) {
	t.Parallel()
	place := at("json", "id")
	for name, c := range map[string]struct {
		coding, body, want string
		err                error
	}{
		"packed":              {"deflate", packed(t, "deflate", `{"id":"a"}`), "a", nil},
		"not there":           {"deflate", packed(t, "deflate", `{}`), "", nil},
		"no JSON":             {"deflate", packed(t, "deflate", `id=a`), "", nil},
		"garbage":             {"deflate", "garbage", "", unpack.ErrUnreadable},
		"another coding":      {"br", "garbage", "", inject.ErrPacked},
		"a coding by mistake": {"utf-8", `{"id":"a"}`, "a", nil},
	} {
		call, _ := packedCall(t, c.coding, c.body)
		if got, err := call.CorrelationID(place); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	call, pool := packedCall(t, "gzip", packed(t, "gzip", `{"id":"a"}`))
	pool.SetLimits(0, 0)
	if got, err := call.CorrelationID(place); !errors.Is(err, memory.ErrBusy) {
		t.Errorf("without memory: %q, %v", got, err)
	}
}
