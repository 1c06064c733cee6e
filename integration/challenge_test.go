package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// The secrets that providers share with their customers.
const (
	metaToken     = "verify-token-of-meta-1"
	zoomToken     = "secret-token-of-zoom-1"
	xSecret       = "consumer-secret-of-x-1"
	slackHello    = `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	zoomHello     = `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}`
	graphQuery    = "?validationToken=Validation%3A+Testing+client+application+reachability+for+subscription+Request-Id%3A+522a8e7e-096a-494c-aaf1-ac0dcfca45b7"
	gridHello     = `[{"id":"2d1781af-3a4c-4d7c-bd0c-e34b19da4e66","topic":"/subscriptions/x","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://rp-eastus2.eventgrid.azure.net:553/x"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2018-01-25T22:12:19.4556811Z","metadataVersion":"1","dataVersion":"1"}]`
	allHandshakes = "challenge slack graph dropbox eventgrid cloudevents\nchallenge meta {env.CB_META}\nchallenge zoom {env.CB_ZOOM}\nchallenge x {env.CB_X}\n"
)

func sign(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signZoom returns the header lines of a call that is signed as Zoom does.
func signZoom(secret, body string, at time.Time) []string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return []string{"Content-Type", jsonType, "X-Zm-Request-Timestamp", stamp, "X-Zm-Signature", "v0=" + hex.EncodeToString(sign(secret, "v0:"+stamp+":"+body))}
}

// signX returns the header line of a GET that is signed as X does.
func signX(secret, query string) []string {
	return []string{"X-Twitter-Webhooks-Signature", "sha256=" + base64.StdEncoding.EncodeToString(sign(secret, query))}
}

// challenged returns a stage whose fixed URL answers all handshakes.
func challenged(t *testing.T, cfg harness.Config) *stage {
	t.Helper()
	s := newStage(t)
	for name, secret := range map[string]string{"CB_KEY": envKey, "CB_META": metaToken, "CB_ZOOM": zoomToken, "CB_X": xSecret} {
		s.NeverLog(secret)
		s.Setenv(name, secret)
	}
	cfg.Sites = s.Site("without", "callback_server\nrespond 404")
	cfg.Callback += "key env {env.CB_KEY} send\n"
	cfg.Hold += "key env\ncorrelation_id request header X-Order\n" + showStatus
	s.Start(t, cfg)
	return s
}

// handshake is what a provider sends, and what it wants to get.
type handshake struct {
	method, query, body string
	lines               []string
	mediaType, want     string
}

// handshakes are those that the providers document.
func handshakes() map[string]handshake {
	const text = "text/plain; charset=utf-8"
	return map[string]handshake{
		"Slack":           {http.MethodPost, "", slackHello, []string{"Content-Type", jsonType}, text, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		"Microsoft Graph": {http.MethodPost, graphQuery, "", []string{"Content-Type", "text/plain; charset=utf-8"}, text, "Validation: Testing client application reachability for subscription Request-Id: 522a8e7e-096a-494c-aaf1-ac0dcfca45b7"},
		"SharePoint":      {http.MethodPost, "?validationtoken=35a8f5d5-7f5d-4a3c", "", nil, text, "35a8f5d5-7f5d-4a3c"},
		"Dropbox":         {http.MethodGet, "?challenge=abc123", "", nil, text, "abc123"},
		"Event Grid":      {http.MethodPost, "", gridHello, []string{"Content-Type", "application/json; charset=utf-8", "Aeg-Event-Type", "SubscriptionValidation"}, jsonType, `{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}`},
		"Meta":            {http.MethodGet, "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=" + metaToken, "", nil, text, "1158201444"},
		"Zoom":            {http.MethodPost, "", zoomHello, signZoom(zoomToken, zoomHello, time.Now()), jsonType, `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + hex.EncodeToString(sign(zoomToken, "qgg8vlvZRS6UYooatFL8Aw")) + `"}`},
		"X": {http.MethodGet, "?crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=MTUyOTQ", "", signX(xSecret, "crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=MTUyOTQ"), jsonType,
			`{"response_token":"sha256=` + base64.StdEncoding.EncodeToString(sign(xSecret, "9b4507b3-9040-4669-9ca3-6b94edb50553")) + `"}`},
	}
}

func TestHandshakesAreAnsweredWithoutAKey(t *testing.T) {
	t.Parallel()
	s := challenged(t, harness.Config{TLS: true, Private: "callback_server {\n" + allHandshakes + "}\nrespond 404\n", Public: "callback_server {\n\tkey env\n" + allHandshakes + "}\nrespond 404"})
	before := s.metrics(t)
	for name, h := range handshakes() {
		for range 2 {
			got := s.callURL(t, h.method, fixedURL+h.query, h.body, h.lines...)
			if got.Status != http.StatusOK || string(got.Body) != h.want {
				t.Errorf("%s: %d %s", name, got.Status, short(got.Body))
			}
			wantHeader(t, got.Header, "Content-Type", h.mediaType)
			wantHeader(t, got.Header, "X-Content-Type-Options", "nosniff")
			wantNotStored(t, got.Header)
		}
		for _, protocol := range harness.Protocols {
			req := harness.NewRequest(t, h.method, protocol.URL("/cb"+h.query), "", h.body)
			for i := 0; i < len(h.lines); i += 2 {
				req.Header.Set(h.lines[i], h.lines[i+1])
			}
			req.Header.Set("Expect", "100-continue")
			wantAnswer(t, harness.Do(t, s.Client(t, protocol), req), http.StatusOK, h.want)
		}
	}
	got := s.look(t, http.MethodOptions, fixedURL)
	wantAnswer(t, got, http.StatusNoContent, "")
	wantHeader(t, got.Header, "WebHook-Allowed-Origin", "eventgrid.example.net")
	wantStatus(t, s.look(t, http.MethodHead, fixedURL), http.StatusUnauthorized)
	wantUnauthorized(t, s.callURL(t, http.MethodOptions, fixedURL, ""), "key-required")
	s.wantMetrics(t, before, nil)
}

// What is no handshake is what it was: a call, with its body as it came.
func TestWhatIsNoHandshakeIsACall(t *testing.T) {
	t.Parallel()
	s := challenged(t, harness.Config{Public: "callback_server {\n\tcorrelation_id json id\n" + allHandshakes + "}\nrespond 404"})
	query := "crc_token=abc&nonce=1"
	for name, h := range map[string]handshake{
		"an event of Slack's":             {method: http.MethodPost, body: `{"type":"event_callback"}`, lines: []string{"Content-Type", jsonType}},
		"a large event":                   {method: http.MethodPost, body: `{"challenge":"` + strings.Repeat("x", 5000) + `","type":"url_verification"}`, lines: []string{"Content-Type", jsonType}},
		"another provider's":              {method: http.MethodPost, body: `{"id":"x"}`, lines: []string{"Content-Type", jsonType}},
		"another token of Meta's":         {method: http.MethodGet, query: "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=" + metaToken + "x"},
		"unsigned, of Zoom's":             {method: http.MethodPost, body: zoomHello, lines: []string{"Content-Type", jsonType}},
		"signed by another, of Zoom's":    {method: http.MethodPost, body: zoomHello, lines: signZoom(zoomToken+"x", zoomHello, time.Now())},
		"too old, of Zoom's":              {method: http.MethodPost, body: zoomHello, lines: signZoom(zoomToken, zoomHello, time.Now().Add(-10*time.Minute))},
		"another than Zoom signed":        {method: http.MethodPost, body: strings.Replace(zoomHello, "qgg8", "qgg9", 1), lines: signZoom(zoomToken, zoomHello, time.Now())},
		"unsigned, of X's":                {method: http.MethodGet, query: "?" + query},
		"another than X signed":           {method: http.MethodGet, query: "?" + query + "2", lines: signX(xSecret, query)},
		"what would be signed for anyone": {method: http.MethodGet, query: "?crc_token=a%3Db", lines: signX(xSecret, "crc_token=a%3Db")},
		"a notification of Graph's":       {method: http.MethodPost, query: graphQuery, body: `{"value":[]}`, lines: []string{"Content-Type", jsonType}},
	} {
		got := s.callURL(t, h.method, fixedURL+h.query, h.body, h.lines...)
		if got.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, got.Status, short(got.Body))
		}
		wantUnauthorized(t, got, "key-required")
	}
	for i, body := range []string{
		`{"id":"%s","type":"event_callback"}`, `{"id":"%s","event":"endpoint.url_validation","payload":{"plainToken":"abc"}}`,
		`{"id":"%s","text":"` + strings.Repeat("x", 4<<10) + `"}`, `{"text":"` + strings.Repeat("x", 100<<10) + `","id":"%s"}`,
	} {
		for name, chunked := range map[string]bool{"with a length": false, "chunked": true} {
			id := fmt.Sprintf("order %d, %s", i, name)
			body := fmt.Sprintf(body, id)
			x := s.getOrder(t, s.path(), id)
			req := harness.NewRequest(t, http.MethodPost, fixedURL, jsonType, body)
			req.Header.Set("Authorization", "Bearer "+envKey)
			req.Header.Set("Expect", "100-continue")
			if chunked {
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
			}
			got := s.public(t, req)
			if got.Status != http.StatusOK {
				t.Fatalf("%d, %s: %d %s", i, name, got.Status, got.Body)
			}
			wantAnswer(t, x.Answer(t), http.StatusOK, body)
		}
	}
}

// The site behind the fixed URL gets what is no handshake as if nobody had looked at it.
func TestWhatIsNoHandshakeIsLeftToTheSite(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Setenv("CB_KEY", envKey)
	s.Start(t, harness.Config{
		Callback: "key env {env.CB_KEY} send\n",
		TLS:      true,
		Private:  "callback_server {\n\tunmatched next\n\tchallenge slack eventgrid graph\n}\n" + s.toPartner(),
	})
	s.partner.Handle("/cb", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for _, protocol := range harness.Protocols {
		for _, size := range []int{1, 4000, 5000, 200_000} {
			for _, chunked := range []bool{false, true} {
				e := event{"/cb", bearer(envKey)[1:], `{"text":"` + strings.Repeat("x", size) + `"}`, chunked}
				wantAnswer(t, harness.Do(t, s.Client(t, protocol), e.request(t, protocol)), http.StatusOK, e.body)
				got := s.partner.Received(t, "/cb")
				if !chunked && got.ContentLength != int64(len(e.body)) {
					t.Errorf("%s, %d: the site got the length %d", protocol, size, got.ContentLength)
				}
				if chunked && protocol != harness.H3 && got.Trailer.Get("X-Sum") != "17" {
					t.Errorf("%s, %d: the site got the trailer %v", protocol, size, got.Trailer)
				}
			}
		}
		e := event{"/cb", nil, slackHello, true}
		wantAnswer(t, harness.Do(t, s.Client(t, protocol), e.request(t, protocol)), http.StatusOK, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P")
	}
}

// What strangers send comes back as text, whatever their browser asks for.
func TestWhatAHandshakeSendsBackIsNeverAPage(t *testing.T) {
	t.Parallel()
	s := challenged(t, harness.Config{Public: "callback_server {\n" + allHandshakes + "}\nrespond 404"})
	const script, escaped = "<script>alert(1)</script>", "%3Cscript%3Ealert(1)%3C/script%3E"
	for name, h := range map[string]handshake{
		"Dropbox": {method: http.MethodGet, query: "?challenge=" + escaped},
		"Graph":   {method: http.MethodPost, query: "?validationToken=" + escaped},
		"Slack":   {method: http.MethodPost, body: `{"type":"url_verification","challenge":"` + script + `"}`, lines: []string{"Content-Type", jsonType}},
	} {
		got := s.callURL(t, h.method, fixedURL+h.query, h.body, append(h.lines, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")...)
		if got.Status != http.StatusOK || string(got.Body) != script {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		wantHeader(t, got.Header, "Content-Type", "text/plain; charset=utf-8")
		wantHeader(t, got.Header, "X-Content-Type-Options", "nosniff")
		wantHeader(t, got.Header, "Content-Security-Policy", "default-src 'none'; sandbox")
	}
}

// No other URL answers handshakes: what belongs to a callback is for its app.
func TestHandshakesAreAnsweredAtTheFixedURLAlone(t *testing.T) {
	t.Parallel()
	s := challenged(t, harness.Config{Public: "callback_server {\n" + allHandshakes + "}\nrespond 404"})
	x := s.getOrder(t, s.path(), "order-1")
	for name, h := range handshakes() {
		if got := s.callURL(t, h.method, x.url+h.query, h.body, h.lines...); got.Status < 400 {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		if got := s.callURL(t, h.method, "http://without.test/cb"+h.query, h.body, h.lines...); got.Status < 400 {
			t.Errorf("%s, where nothing is said of challenges: %d %s", name, got.Status, got.Body)
		}
	}
	x.wantPhase(t, "waiting")
	wantAnswer(t, s.callURL(t, http.MethodPost, x.url, "paid", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
}
