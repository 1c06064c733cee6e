package integration

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// tooMuch is a little more than Caddy reads of a request's header.
const tooMuch = 1<<20 + 4<<10 + 300

func TestCallThatIsNotHTTPConsumesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{})
	for name, c := range map[string]struct {
		lines  string
		status int
	}{
		"NUL in a header":              {"X-Link-Correlation-Id: a\x00b\r\n", http.StatusBadRequest},
		"bare line end in a header":    {"X-Link-Error-Text: a\rb\r\n", http.StatusBadRequest},
		"space in a header's name":     {"X Note: a\r\n", http.StatusBadRequest},
		"space before the colon":       {"X-Note : a\r\n", http.StatusBadRequest},
		"line that is folded at once":  {" X-Note: a\r\n", http.StatusBadRequest},
		"no colon":                     {"X-Note\r\n", http.StatusBadRequest},
		"two hosts":                    {"Host: other.test\r\n", http.StatusBadRequest},
		"two lengths":                  {"Content-Length: 1\r\nContent-Length: 2\r\n", http.StatusBadRequest},
		"negative length":              {"Content-Length: -1\r\n", http.StatusBadRequest},
		"length that is no number":     {"Content-Length: 0x1\r\n", http.StatusBadRequest},
		"encoding that is not known":   {"Transfer-Encoding: chunked, gzip\r\n", http.StatusNotImplemented},
		"chunk length that is none":    {"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n", http.StatusBadRequest},
		"headers without end":          {"X-Note: " + strings.Repeat("a", tooMuch) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		"thousands of headers":         {strings.Repeat("X-Note: "+strings.Repeat("a", 90)+"\r\n", tooMuch/100), http.StatusRequestHeaderFieldsTooLarge},
		"answer for another (request)": {"Content-Length: 3\r\nTransfer-Encoding: identity\r\n", http.StatusNotImplemented},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			path := strings.TrimPrefix(x.url, harness.BaseURL)
			wantStatus(t, s.raw(t, "POST "+path+" HTTP/1.1\r\nHost: callbacks.test\r\n"+c.lines+"\r\n"), c.status)
			x.stillWaits(t)
		})
	}
}

func TestBytesOfACallReachTheClientAsTheyAre(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "copy_headers Content-Type X-Note"})
	for contentType, body := range map[string]string{
		"text/plain; charset=iso-8859-1":               "Gr\xfc\xdfe",
		"application/json; charset=utf-16":             "\xff\xfe{\x00}\x00",
		"application/json":                             "\xef\xbb\xbf{\"bad\": \"\xff\xfe\"",
		"text/xml; charset=\"shift_jis\"":              "<?xml version=\"1.0\"?>\x83e\x83X\x83g",
		"application/octet-stream":                     "\x00\x01\x02\r\n\r\n\x00",
		"nonsense; charset":                            "text",
		"multipart/form-data; boundary=x":              "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
		"application/x-www-form-urlencoded; charset=x": "a=%zz&a=%E4&;=&state=",
	} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			x := s.get(t)
			x.url += "?a=1&a=2&bad=%zz&%00=%0d%0a"
			req := harness.NewRequest(t, http.MethodPost, x.url, contentType, body)
			req.Header.Set("X-Note", "\xe4 \x80")
			wantStatus(t, s.public(t, req), http.StatusOK)
			answer := x.Answer(t)
			wantAnswer(t, answer, http.StatusOK, body)
			wantHeader(t, answer.Header, "Content-Type", contentType)
			wantHeader(t, answer.Header, "X-Note", "\xe4 \x80")
		})
	}
}

func TestPackedBodyThatCannotBeReadIsRefusedWhereARuleDependsOnIt(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "failed json ok false\ncopy_headers Content-Type Content-Encoding"})
	x := s.get(t)
	// It could say that the call has failed.
	for coding, status := range map[string]int{
		"gzip": http.StatusBadRequest, "x-gzip": http.StatusBadRequest, "deflate": http.StatusBadRequest, "zstd": http.StatusBadRequest,
		"br": http.StatusUnsupportedMediaType, "compress": http.StatusUnsupportedMediaType, "gzip, gzip": http.StatusUnsupportedMediaType,
	} {
		req := harness.NewRequest(t, http.MethodPost, x.url, jsonType, base64.StdEncoding.EncodeToString([]byte(`{"ok":false}`)))
		req.Header.Set("Content-Encoding", coding)
		wantProblem(t, s.public(t, req), status, "unreadable")
	}

	wantStatus(t, x.call(t, jsonType, `{"ok":true}`), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, `{"ok":true}`)
}

func TestPackedBodyThatNoRuleDependsOnIsHandedOn(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "copy_headers Content-Type Content-Encoding"})
	x := s.get(t)
	req := harness.NewRequest(t, http.MethodPost, x.url, jsonType, base64.StdEncoding.EncodeToString([]byte(`{"ok":false}`)))
	req.Header.Set("Content-Encoding", "gzip")
	wantStatus(t, s.public(t, req), http.StatusOK)
	answer := x.Answer(t)
	wantAnswer(t, answer, http.StatusOK, "eyJvayI6ZmFsc2V9")
	wantHeader(t, answer.Header, "Content-Encoding", "gzip")
}
