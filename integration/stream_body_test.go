package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// zipped returns a text packed.
func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// linesOf returns a text of that many lines that packs no better than others.
func linesOf(n int) string {
	random := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "%016x\n", random.Uint64())
	}
	return b.String()
}

func TestWhateverPartnersSendIsTheDataOfItsEvent(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress + "progress query step"})
	forged := "x\n\nevent: result\nid: forged\ndata: forged\n\n"
	large := linesOf(1 << 18)
	binary := strings.Repeat("\xff\x00\n\n", 1<<20)
	for name, c := range map[string]struct {
		body   string
		header []string
		event  string
		data   string
	}{
		"nothing":          {"", nil, "", ""},
		"lines":            {"one\ntwo\n", nil, "", "one\ntwo\n"},
		"a forged event":   {forged, nil, "", forged},
		"with CR":          {"\r" + strings.ReplaceAll(forged, "\n", "\r"), nil, "", "\n" + forged},
		"with CRLF":        {strings.ReplaceAll(forged, "\n", "\r\n"), nil, "", forged},
		"no text":          {"\xff\xfe\n\n" + forged, nil, "-base64", base64.StdEncoding.EncodeToString([]byte("\xff\xfe\n\n" + forged))},
		"a large text":     {large, nil, "", large},
		"a large picture":  {binary, nil, "-base64", base64.StdEncoding.EncodeToString([]byte(binary))},
		"packed":           {zipped(t, forged), []string{"Content-Encoding", "gzip"}, "", forged},
		"packed and large": {zipped(t, large), []string{"Content-Encoding", "gzip"}, "", large},
		"falsely packed":   {forged, []string{"Content-Encoding", "gzip"}, "", forged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := s.subscribe(t, harness.HTTP1)
			wantStatus(t, l.callWithAll(t, "application/octet-stream", c.body, append([]string{"X-Step", "working"}, c.header...)...), http.StatusOK)
			l.want(t, "progress"+c.event, c.data)
			wantStatus(t, l.callWithAll(t, "application/octet-stream", c.body, c.header...), http.StatusOK)
			l.wantEnd(t, "result"+c.event, c.data)
		})
	}
	// A call without a body tells its query, as a result would.
	l := s.subscribe(t, harness.HTTP1)
	wantStatus(t, s.callURL(t, http.MethodPost, l.url+"?step=1&of=%0D%0A3", ""), http.StatusOK)
	l.want(t, "progress", `{"step":"1","of":"\r\n3"}`)
	l.resolve(t, "done")
	l.wantEnd(t, "result", "done")
}

func TestStreamHasTheAckWhereThatIsTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress + "use_body off"})
	path := s.path()
	s.partner.Handle(path, harness.Ack(http.StatusAccepted, http.Header{"Content-Type": {"application/json"}}, `{"job":17}`))
	l := s.open(t, harness.HTTP1, askingEvents(t, harness.HTTP1, path))
	l.exchange = &exchange{stage: s, received: s.partner.Received(t, path)}
	l.url = l.received.Header.Get(callbackHeader)
	l.progress(t, "half")
	l.want(t, "progress", "half")
	l.resolve(t, "yes")
	l.wantEnd(t, "result", `{"job":17}`)
}

func TestStreamHasTheWholeCallWhereThatIsTheResult(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress + "result call"})
	l := s.subscribe(t, harness.HTTP1)
	l.progress(t, "half")
	if e := l.next(t, "progress"); !strings.Contains(e.data, `"method":"POST"`) || !strings.Contains(e.data, `"body":"half"`) {
		t.Errorf("the client gets %s", e.data)
	}
	l.resolve(t, "\xff")
	if e := l.end(t, "result"); !strings.Contains(e.data, `"bodyEncoding":"base64"`) {
		t.Errorf("the client gets %s", e.data)
	}
}

// Streams take what their clients have not taken yet, and no more.
func TestStreamsTakeNoMemoryForLargeBodies(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: withProgress, Callback: "max_memory 16MiB\nmax_body_size 4MiB"})
	large := strings.Repeat("0123456789abcdef", 3<<16)
	var all []*listener
	for range 8 {
		all = append(all, s.subscribe(t, harness.HTTP1))
	}
	for round := range 3 {
		for i, l := range all {
			body := fmt.Sprint(round, i) + large
			l.progress(t, body)
			l.want(t, "progress", body)
		}
	}
	for _, l := range all {
		l.resolve(t, large)
		l.wantEnd(t, "result", large)
	}
}
