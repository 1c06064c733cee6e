package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

const (
	metaSecret = "a verify token for Meta"
	zoomSecret = "a secret token of Zoom"
	xSecret    = "a consumer secret of X"
)

func mac(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// challenging returns a server that answers all handshakes.
func challenging(t testing.TB) *Server {
	t.Helper()
	t.Setenv("CALLBACK_TEST_META", metaSecret)
	t.Setenv("CALLBACK_TEST_ZOOM", zoomSecret+"\n")
	t.Setenv("CALLBACK_TEST_ZOOM_OLD", "an older token of Zoom")
	t.Setenv("CALLBACK_TEST_X", xSecret)
	list := []Challenge{{"zoom", "{env.CALLBACK_TEST_ZOOM_OLD}"}}
	for _, provider := range challengers {
		c := Challenge{Provider: provider}
		if c.NeedsSecret() {
			c.Secret = "{env.CALLBACK_TEST_" + strings.ToUpper(provider) + "}"
		}
		list = append(list, c)
	}
	if err := checkChallenges(list); err != nil {
		t.Fatal(err)
	}
	challenges, err := newChallenges(list)
	if err != nil {
		t.Fatal(err)
	}
	return &Server{challenges: challenges, log: zap.NewNop()}
}

// ask is a request that may be a handshake.
type ask struct {
	method, query, body string
	header              []string
}

func (a ask) request() *http.Request {
	r := httptest.NewRequest(a.method, "/cb?"+a.query, strings.NewReader(a.body))
	if a.body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(a.header); i += 2 {
		r.Header.Add(a.header[i], a.header[i+1])
	}
	return r
}

func jsonAsk(body string, header ...string) ask {
	return ask{http.MethodPost, "", body, append([]string{"Content-Type", "application/json; charset=utf-8"}, header...)}
}

// zoomAsk returns a body that is signed as Zoom does.
func zoomAsk(secret string, at time.Time, body string) ask {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return jsonAsk(body, "X-Zm-Request-Timestamp", stamp, "X-Zm-Signature", "v0="+hex.EncodeToString(mac(secret, "v0:"+stamp+":"+body)))
}

func xAsk(secret, query string) ask {
	return ask{http.MethodGet, query, "", []string{"X-Twitter-Webhooks-Signature", "sha256=" + base64.StdEncoding.EncodeToString(mac(secret, query))}}
}

const (
	slackBody     = `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	eventGridBody = `[{"id":"2d1781af","topic":"/subscriptions/x","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://rp-eastus2.eventgrid.azure.net/x"},` +
		`"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2018-01-25T22:12:19.4556811Z","metadataVersion":"1","dataVersion":"1"}]`
	zoomBody = `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}`
)

// serve returns what a request is answered with, nil if it is no handshake.
func serve(t testing.TB, s *Server, e *engine.Engine, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	lease, done := s.serveChallenge(w, r, e)
	defer lease.Release()
	if !done {
		if len(w.Header()) > 0 || w.Body.Len() > 0 {
			t.Errorf("it is no handshake, and something was written: %v %s", w.Header(), w.Body)
		}
		return nil
	}
	return w
}

func TestHandshakesAreAnsweredAsTheirProvidersWantIt(t *testing.T) {
	s, e := challenging(t), apptest.NewEngine(t)
	const text, object = "text/plain; charset=utf-8", "application/json"
	for name, c := range map[string]struct {
		ask             ask
		mediaType, want string
	}{
		"Slack":        {jsonAsk(slackBody), text, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		"Graph":        {ask{http.MethodPost, "a=b&validationToken=Validation%3a+Testing+%c3%bc", "", nil}, text, "Validation: Testing ü"},
		"SharePoint":   {ask{http.MethodPost, "validationtoken=abc", "", nil}, text, "abc"},
		"Dropbox":      {ask{http.MethodGet, "challenge=a-b_c", "", nil}, text, "a-b_c"},
		"script":       {ask{http.MethodGet, "challenge=%3Cscript%3Ealert(1)%3C/script%3E", "", []string{"Sec-Fetch-Mode", "navigate"}}, text, "<script>alert(1)</script>"},
		"Event Grid":   {jsonAsk(eventGridBody, "aeg-event-type", "SubscriptionValidation"), object, `{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}`},
		"Meta":         {ask{http.MethodGet, "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a%20verify+token+for+Meta", "", nil}, text, "1158201444"},
		"Zoom":         {zoomAsk(zoomSecret, e.Now(), zoomBody), object, `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + hex.EncodeToString(mac(zoomSecret, "qgg8vlvZRS6UYooatFL8Aw")) + `"}`},
		"Zoom, before": {zoomAsk("an older token of Zoom", e.Now(), zoomBody), object, `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + hex.EncodeToString(mac("an older token of Zoom", "qgg8vlvZRS6UYooatFL8Aw")) + `"}`},
		"X":            {xAsk(xSecret, "crc_token=9b4507b3-9040-4669_9ca3&nonce=MTU"), object, `{"response_token":"sha256=` + base64.StdEncoding.EncodeToString(mac(xSecret, "9b4507b3-9040-4669_9ca3")) + `"}`},
	} {
		for range 2 {
			got := serve(t, s, e, c.ask.request())
			if got == nil || got.Code != http.StatusOK || got.Body.String() != c.want || got.Header().Get("Content-Type") != c.mediaType ||
				got.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
	got := serve(t, s, e, ask{http.MethodOptions, "", "", []string{"WebHook-Request-Origin", "eventgrid.azure.net"}}.request())
	if got == nil || got.Code != http.StatusNoContent || got.Header().Get("WebHook-Allowed-Origin") != "eventgrid.azure.net" {
		t.Errorf("CloudEvents: %+v", got)
	}
}

func TestWhatIsNoHandshakeIsLeftAsItIs(t *testing.T) {
	s, e := challenging(t), apptest.NewEngine(t)
	unsigned := func(a ask) ask {
		a.header = a.header[:0]
		return a
	}
	signed := zoomAsk(zoomSecret, e.Now(), zoomBody)
	long := strings.Repeat("a", maxHandshake)
	for name, a := range map[string]ask{
		"an event of Slack's":               jsonAsk(`{"type":"event_callback","challenge":"abc"}`),
		"no type":                           jsonAsk(`{"challenge":"abc"}`),
		"no challenge":                      jsonAsk(`{"type":"url_verification"}`),
		"a challenge that is no text":       jsonAsk(`{"type":"url_verification","challenge":17}`),
		"no JSON":                           jsonAsk(slackBody + "x"),
		"no media type":                     {http.MethodPost, "", slackBody, nil},
		"another method":                    {http.MethodPut, "", slackBody, []string{"Content-Type", "application/json"}},
		"a packed body":                     jsonAsk(slackBody, "Content-Encoding", "gzip"),
		"a control character":               jsonAsk(`{"type":"url_verification","challenge":"a\u0000"}`),
		"a line break":                      {http.MethodGet, "challenge=a%0ab", "", nil},
		"no UTF-8":                          {http.MethodGet, "challenge=%ff", "", nil},
		"too much of Slack's":               jsonAsk(`{"type":"url_verification","challenge":"` + long + `"}`),
		"too much of Dropbox's":             {http.MethodGet, "challenge=a" + long, "", nil},
		"an empty challenge":                {http.MethodGet, "challenge=", "", nil},
		"two challenges":                    {http.MethodGet, "challenge=a&challenge=b", "", nil},
		"a challenge of Dropbox's, posted":  {http.MethodPost, "challenge=a", "", nil},
		"a look":                            {http.MethodHead, "challenge=a", "", nil},
		"a challenge with a body":           {http.MethodGet, "challenge=a", "x", nil},
		"a notification of Graph's":         {http.MethodPost, "validationToken=a", `{"value":[]}`, []string{"Content-Type", "application/json"}},
		"two tokens of Graph's":             {http.MethodPost, "validationToken=a&validationToken=b", "", nil},
		"another event of Event Grid's":     jsonAsk(eventGridBody, "aeg-event-type", "Notification"),
		"an event type that is not named":   jsonAsk(eventGridBody),
		"another event in the body":         jsonAsk(strings.Replace(eventGridBody, "SubscriptionValidationEvent", "Other", 1), "aeg-event-type", "SubscriptionValidation"),
		"two events":                        jsonAsk(eventGridBody[:len(eventGridBody)-1]+","+eventGridBody[1:], "aeg-event-type", "SubscriptionValidation"),
		"an event without a code":           jsonAsk(strings.Replace(eventGridBody, "validationCode", "code", 1), "aeg-event-type", "SubscriptionValidation"),
		"an origin that is no host":         {http.MethodOptions, "", "", []string{"WebHook-Request-Origin", "https://a.example"}},
		"no origin":                         {http.MethodOptions, "", "", nil},
		"a preflight":                       {http.MethodOptions, "", "", []string{"WebHook-Request-Origin", "a.example", "Origin", "https://a.example", "Access-Control-Request-Method", "POST"}},
		"another token of Meta's":           {http.MethodGet, "hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+verify+token+for+meta", "", nil},
		"no token of Meta's":                {http.MethodGet, "hub.mode=subscribe&hub.challenge=1", "", nil},
		"another mode":                      {http.MethodGet, "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=a+verify+token+for+Meta", "", nil},
		"unsigned, of Zoom's":               jsonAsk(zoomBody),
		"signed by another, of Zoom's":      zoomAsk("another secret token", e.Now(), zoomBody),
		"too old, of Zoom's":                zoomAsk(zoomSecret, e.Now().Add(-6*time.Minute), zoomBody),
		"another body than Zoom has signed": {http.MethodPost, "", strings.Replace(zoomBody, "qgg8", "qgg9", 1), signed.header},
		"another event of Zoom's":           zoomAsk(zoomSecret, e.Now(), `{"event":"meeting.started","payload":{"plainToken":"abc"}}`),
		"what Zoom would sign":              zoomAsk(zoomSecret, e.Now(), `{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1700000000:{}"}}`),
		"a token with a line break":         zoomAsk(zoomSecret, e.Now(), `{"event":"endpoint.url_validation","payload":{"plainToken":"abc\n"}}`),
		"no token of Zoom's":                zoomAsk(zoomSecret, e.Now(), `{"event":"endpoint.url_validation","payload":{"plainToken":""}}`),
		"unsigned, of X's":                  unsigned(xAsk(xSecret, "crc_token=abc")),
		"signed by another, of X's":         xAsk("another consumer secret", "crc_token=abc"),
		"another query than X has signed":   {http.MethodGet, "crc_token=abd", "", xAsk(xSecret, "crc_token=abc").header},
		"more than X has signed":            {http.MethodGet, "crc_token=abc&a=b", "", xAsk(xSecret, "crc_token=abc").header},
		"what X would sign":                 xAsk(xSecret, "crc_token=crc_token%3Dabc"),
		"an event that X would sign":        xAsk(xSecret, "crc_token=%7B%7D"),
		"two tokens of X's":                 xAsk(xSecret, "crc_token=abc&crc_token=abd"),
		"too much of X's":                   xAsk(xSecret, "crc_token=abc&nonce="+long),
	} {
		for _, chunked := range []bool{false, true} {
			r := a.request()
			r.Header.Set("Expect", "100-continue")
			if chunked && a.body != "" {
				r.ContentLength = -1
			}
			lease, done := s.serveChallenge(httptest.NewRecorder(), r, e)
			if done {
				t.Errorf("%s: it is answered", name)
			}
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != a.body {
				t.Errorf("%s: %d bytes of the body are left, %v", name, len(body), err)
			}
			lease.Release()
		}
	}
}

func TestBodiesOfAnySizeReachWhoReadsThem(t *testing.T) {
	s, e := challenging(t), apptest.NewEngine(t)
	for _, n := range []int{1, 511, 512, 513, maxHandshake - 1, maxHandshake, maxHandshake + 1, maxHandshake + 2, 100_000} {
		for _, length := range []int64{int64(n), -1} {
			body := strings.Repeat("x", n)
			r := jsonAsk(body).request()
			r.ContentLength = length
			lease, done := s.serveChallenge(httptest.NewRecorder(), r, e)
			if done {
				t.Fatal("it is answered")
			}
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != body {
				t.Errorf("%d bytes announced as %d: %d are left, %v", n, length, len(got), err)
			}
			if (lease == nil) != (length > maxHandshake) {
				t.Errorf("%d bytes announced as %d: read with %v", n, length, lease)
			}
			lease.Release()
		}
	}
}

func TestWhereStrangersHaveAllMemoryNothingIsLookedAt(t *testing.T) {
	s, e := challenging(t), apptest.NewEngine(t)
	taken := takeAll(e)
	r := jsonAsk(slackBody).request()
	if lease, done := s.serveChallenge(httptest.NewRecorder(), r, e); lease != nil || done {
		t.Errorf("%v, %v", lease, done)
	}
	if body, _ := io.ReadAll(r.Body); string(body) != slackBody {
		t.Errorf("%s is left", body)
	}
	for _, lease := range taken {
		lease.Release()
	}
	if serve(t, s, e, jsonAsk(slackBody).request()) == nil {
		t.Error("there is memory, and it is not answered")
	}
}

// takeAll takes all the memory that strangers may have.
func takeAll(e *engine.Engine) (taken []*memory.Lease) {
	for {
		lease, err := e.BlindMemory().Reserve(1000)
		if err != nil {
			return taken
		}
		taken = append(taken, lease)
	}
}

func TestBodyThatIsCutShortIsRefused(t *testing.T) {
	s, e := challenging(t), apptest.NewEngine(t)
	taken := takeAll(e)
	before := len(taken)
	for _, lease := range taken {
		lease.Release()
	}
	r := jsonAsk("").request()
	r.Body, r.ContentLength = io.NopCloser(iotest.TimeoutReader(strings.NewReader(slackBody))), int64(len(slackBody))
	w := httptest.NewRecorder()
	if lease, done := s.serveChallenge(w, r, e); lease != nil || !done || w.Code != http.StatusBadRequest {
		t.Errorf("%v, %v: %+v", lease, done, w)
	}
	if left := len(takeAll(e)); left != before {
		t.Errorf("there is memory for %d leases, and there was for %d", left, before)
	}
}

func TestChallengesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Setenv("CALLBACK_TEST_SHORT", "short")
	t.Setenv("CALLBACK_TEST_LONG", "long enough to be one")
	const secret = "{env.CALLBACK_TEST_LONG}"
	for want, list := range map[string][]Challenge{
		`"" is not known; write some of slack, graph, dropbox, eventgrid, cloudevents, meta, zoom, x`:                           {{}},
		`"zooom" is not known (did you mean zoom?); write some of slack, graph, dropbox, eventgrid, cloudevents, meta, zoom, x`: {{Provider: "zooom"}},
		"slack has no secret; leave it out": {{"slack", secret}},
		"meta needs a secret: {env.NAME} or {file.PATH}, so that the secret itself is not in the configuration": {{Provider: "meta"}},
		"zoom needs a secret: {env.NAME} or {file.PATH}, so that the secret itself is not in the configuration": {{"zoom", "long enough to be one"}},
		"x needs a secret: {env.NAME} or {file.PATH}, so that the secret itself is not in the configuration":    {{"x", secret + secret}},
		"{env.A} stands where a provider was expected; only meta, zoom and x have a secret, each one":           {{Provider: "{env.A}"}},
		"graph is given twice; leave one of the two out":                                                        {{Provider: "graph"}, {Provider: "slack"}, {Provider: "graph"}},
		"meta {env.CALLBACK_TEST_LONG} is given twice; leave one of the two out":                                {{"meta", secret}, {"meta", secret}},
	} {
		if err := (&Server{Challenges: list}).Check(nil); err == nil || err.Error() != "challenge: "+want {
			t.Errorf("%v: %v, want %s", list, err, want)
		}
	}
	if err := (&Server{Challenges: []Challenge{{"meta", secret}, {"meta", "{env.OTHER}"}, {"zoom", secret}}}).Check(nil); err != nil {
		t.Error(err)
	}
	for want, c := range map[string]Challenge{
		"meta: the secret has 5 bytes: it must have 16 or more": {"meta", "{env.CALLBACK_TEST_SHORT}"},
		"x: the secret has 5 bytes: it must have 16 or more":    {"x", "{env.CALLBACK_TEST_SHORT}"},
		"zoom: {env.CALLBACK_TEST_UNSET} is empty or not set":   {"zoom", "{env.CALLBACK_TEST_UNSET}"},
	} {
		if _, err := newChallenges([]Challenge{c}); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", c, err, want)
		}
	}
}

// FuzzHandshake makes sure that nothing large is sent back, and nothing that a browser renders, and
// that nothing is signed for strangers.
func FuzzHandshake(f *testing.F) {
	s, e := challenging(f), apptest.NewEngine(f)
	f.Add(uint8(0), "", slackBody, "v0=00", "1700000000")
	f.Add(uint8(0), "validationToken=a", "", "", "")
	f.Add(uint8(0), "", eventGridBody, "", "")
	f.Add(uint8(0), "", zoomBody, "v0=00", "1700000000")
	f.Add(uint8(1), "challenge=a&crc_token=b&hub.challenge=c&hub.mode=subscribe&hub.verify_token=d", "", "sha256=", "")
	f.Add(uint8(2), "", "", "a.example", "")
	f.Fuzz(func(t *testing.T, method uint8, query, body, signature, at string) {
		r := httptest.NewRequest([]string{http.MethodPost, http.MethodGet, http.MethodOptions}[method%3], "/cb", strings.NewReader(body))
		r.URL.RawQuery = query
		if body == "" {
			r.Body, r.ContentLength = http.NoBody, 0
		}
		r.Header = http.Header{
			"Content-Type": {"application/json"}, "Aeg-Event-Type": {"SubscriptionValidation"}, "Webhook-Request-Origin": {signature},
			"X-Zm-Signature": {signature}, "X-Zm-Request-Timestamp": {at}, "X-Twitter-Webhooks-Signature": {signature},
		}
		got := serve(t, s, e, r)
		if got == nil {
			if left, err := io.ReadAll(r.Body); err != nil || string(left) != body {
				t.Fatalf("%d of %d bytes are left, %v", len(left), len(body), err)
			}
			return
		}
		mediaType := got.Header().Get("Content-Type")
		switch {
		case got.Body.Len() > maxHandshake:
			t.Fatalf("%d bytes are sent back", got.Body.Len())
		case got.Code == http.StatusNoContent && got.Body.Len() == 0:
		case mediaType != "text/plain; charset=utf-8" && mediaType != "application/json" || got.Header().Get("X-Content-Type-Options") != "nosniff":
			t.Fatalf("a browser may render it: %v", got.Header())
		case strings.HasPrefix(got.Body.String(), `{"plainToken"`), strings.HasPrefix(got.Body.String(), `{"response_token"`):
			if mediaType == "application/json" {
				t.Fatalf("something is signed: %s", got.Body)
			}
		}
	})
}
