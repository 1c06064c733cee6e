package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// TestLargeCallIsShownWhole shows calls whose documents are larger than the memory that one
// callback may have: as the result, to the app that is asked, and in the API.
func TestLargeCallIsShownWhole(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := withAPI(s, harness.Config{
		Callback: "max_memory 16MiB\nmax_body_size 4MiB", Public: askRoute(s), Hold: "result call\nask /decide\n" + showStatus,
	}, "key off")
	s.Start(t, cfg)
	s.decides(http.StatusOK, `{}`)
	for name, body := range map[string]string{
		"text":           strings.Repeat("ä line\n", mib/2),
		"much escaped":   strings.Repeat("\x01", 4*mib),
		"not UTF-8":      strings.Repeat("\xff\x00", 2*mib),
		"of one record":  strings.Repeat("<", 60<<10),
		"a broken end":   strings.Repeat("x", mib) + "\xe2\x82",
		"without a body": "",
	} {
		x := s.get(t)
		wantStatus(t, x.call(t, "text/plain", body), http.StatusOK)
		question, _ := s.asked(t)
		wantShown(t, name+", asked", text(question["requestBody"]), text(question["requestBodyEncoding"]), body)
		var d document
		answer := x.Answer(t)
		wantStatus(t, answer, http.StatusOK)
		decodeInto(t, answer.Body, &d.LatestCall)
		wantShown(t, name+", result", d.LatestCall.Body, d.LatestCall.BodyEncoding, body)
		got := s.api(t, http.MethodGet, "/"+text(question["callbackSystemCase"]), "")
		decodeInto(t, got.Body, &d)
		wantShown(t, name+", API", d.LatestCall.Body, d.LatestCall.BodyEncoding, body)
		again := s.api(t, http.MethodGet, "/"+text(question["callbackSystemCase"]), "", "If-None-Match", got.Header.Get("ETag"))
		wantStatus(t, again, http.StatusNotModified)
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func decodeInto(t *testing.T, data []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatalf("%v in %s", err, short(data))
	}
}

// wantShown checks a body as JSON shows it.
func wantShown(t *testing.T, what, shown, encoding, want string) {
	t.Helper()
	if encoding == "base64" {
		b, err := base64.StdEncoding.DecodeString(shown)
		if err != nil {
			t.Fatal(err)
		}
		shown = string(b)
	}
	if shown != want {
		t.Errorf("%s: %d bytes are shown (%q), want %d", what, len(shown), encoding, len(want))
	}
}

// Each call removes the body of the one before.
func TestResultIsReadWhileFurtherCallsReplaceIt(t *testing.T) {
	t.Parallel()
	for _, result := range []string{"body", "call"} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			s := startParked(t, "multiple on\nresult "+result)
			x := s.post(t, "text/plain", "order")
			p := s.wantParked(t, x.Answer(t))
			x.resolve(t, "first "+overInline)
			stop, calls := make(chan struct{}), make(chan error, 1)
			go func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						calls <- nil
						return
					default:
					}
					req := harness.NewRequest(t, http.MethodPost, x.url, "text/plain", strconv.Itoa(i)+overInline)
					if got, err := harness.Send(s.Client(t, harness.HTTP1), req).Outcome(); err != nil || got.Status != http.StatusOK {
						calls <- fmt.Errorf("a call got %v: %w", got, err)
						return
					}
				}
			}()
			for range 60 {
				wantStatus(t, s.fetch(t, p.ResultURL), http.StatusOK)
				wantStatus(t, s.admin(t, http.MethodGet, "/"+p.ID, ""), http.StatusOK)
			}
			close(stop)
			if err := harness.Receive(t, "the calls end", calls); err != nil {
				t.Error(err)
			}
			if n := s.lines("a body could not be read"); n != 0 {
				t.Errorf("the log tells of %d bodies that could not be read", n)
			}
		})
	}
}
