package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-callback/caddy-callback/module/inject"
	"github.com/caddy-callback/caddy-callback/module/verify"
)

// challengers are the providers whose handshakes are known.
var challengers = []string{"slack", "graph", "dropbox", "eventgrid", "cloudevents", "meta", "zoom", "x"}

// handshake is how a provider challenges.
type handshake struct {
	// newSeal reads the secret of the provider; nil if it has none.
	newSeal func(secret string) (*seal, error)
	// like reports whether a request may be a challenge, by what comes before its body.
	like func(*http.Request) bool
	// bodied is whether a challenge has a body.
	bodied bool
	// reply returns what answers a request that may be one, nil if it is none.
	reply func(s *seal, r *http.Request, body []byte, now time.Time) reply
}

// reply answers a challenge.
type reply func(http.ResponseWriter, *http.Request)

var handshakes = map[string]handshake{
	// docs.slack.dev, url_verification.
	"slack": {like: postsJSON, bodied: true, reply: slackReply},
	// learn.microsoft.com, "Receive change notifications through webhooks". SharePoint writes
	// validationtoken.
	"graph": {like: func(r *http.Request) bool { return r.Method == http.MethodPost && graphToken(r) != "" }, reply: graphReply},
	// dropbox.com/developers/reference/webhooks.
	"dropbox": {like: gets("challenge"), reply: func(_ *seal, r *http.Request, _ []byte, _ time.Time) reply { return plain(parameter(r, "challenge")) }},
	// learn.microsoft.com, "Webhook event delivery" of Azure Event Grid.
	"eventgrid": {like: func(r *http.Request) bool {
		return postsJSON(r) && strings.EqualFold(r.Header.Get("Aeg-Event-Type"), "SubscriptionValidation")
	}, bodied: true, reply: eventGridReply},
	// HTTP 1.1 Web Hooks for Event Delivery, section 4.
	"cloudevents": {like: func(r *http.Request) bool {
		return r.Method == http.MethodOptions && looks(r) && allowedOrigin(r) != ""
	}, reply: cloudEventsReply},
	// developers.facebook.com, "Webhooks: Getting Started".
	"meta": {newSeal: secretOnly, like: gets("hub.challenge"), reply: metaReply},
	// developers.zoom.us, "Validate your webhook endpoint".
	"zoom": {newSeal: signedBy(verify.Custom{
		Header: "X-Zm-Signature", Prefix: "v0=", Signs: "v0:{timestamp}:{body}", Timestamp: "X-Zm-Request-Timestamp",
	}), like: postsJSON, bodied: true, reply: zoomReply},
	// docs.x.com, "The CRC check". What it signs of a GET is the query.
	"x": {newSeal: signedBy(verify.Custom{
		Header: "X-Twitter-Webhooks-Signature", Prefix: "sha256=", Encoding: "base64",
	}), like: gets("crc_token"), reply: xReply},
}

func postsJSON(r *http.Request) bool {
	return r.Method == http.MethodPost && inject.IsJSON(r.Header.Get("Content-Type"))
}

// gets returns a function that reports whether a request is a GET with a parameter.
func gets(name string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == http.MethodGet && parameter(r, name) != "" }
}

// parameter returns the value of a parameter in the query, "" unless it is there once.
func parameter(r *http.Request, name string) string {
	if values := inject.GetQuery(r.URL.RawQuery, name); len(values) == 1 {
		return values[0]
	}
	return ""
}

func slackReply(_ *seal, _ *http.Request, body []byte, _ time.Time) reply {
	var sent struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	if json.Unmarshal(body, &sent) != nil || sent.Type != "url_verification" {
		return nil
	}
	return plain(sent.Challenge)
}

func graphToken(r *http.Request) string {
	given, lower := parameter(r, "validationToken"), parameter(r, "validationtoken")
	if given != "" {
		return given
	}
	return lower
}

func graphReply(_ *seal, r *http.Request, _ []byte, _ time.Time) reply { return plain(graphToken(r)) }

func eventGridReply(_ *seal, _ *http.Request, body []byte, _ time.Time) reply {
	var sent []struct {
		EventType string `json:"eventType"`
		Data      struct {
			ValidationCode string `json:"validationCode"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &sent) != nil || len(sent) != 1 || sent[0].EventType != "Microsoft.EventGrid.SubscriptionValidationEvent" {
		return nil
	}
	code := sent[0].Data.ValidationCode
	if plain(code) == nil {
		return nil
	}
	return object(struct {
		ValidationResponse string `json:"validationResponse"`
	}{code})
}

func cloudEventsReply(*seal, *http.Request, []byte, time.Time) reply {
	return func(w http.ResponseWriter, r *http.Request) { writeLook(w, r, anyMethods) }
}

func metaReply(s *seal, r *http.Request, _ []byte, _ time.Time) reply {
	given, want := sha256.Sum256([]byte(parameter(r, "hub.verify_token"))), sha256.Sum256(s.secret)
	if parameter(r, "hub.mode") != "subscribe" || subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return nil
	}
	return plain(parameter(r, "hub.challenge"))
}

func zoomReply(s *seal, r *http.Request, body []byte, now time.Time) reply {
	var sent struct {
		Event   string `json:"event"`
		Payload struct {
			PlainToken string `json:"plainToken"`
		} `json:"payload"`
	}
	if json.Unmarshal(body, &sent) != nil || sent.Event != "endpoint.url_validation" || !token.MatchString(sent.Payload.PlainToken) || !s.signed(r, body, now) {
		return nil
	}
	return object(struct {
		PlainToken     string `json:"plainToken"`
		EncryptedToken string `json:"encryptedToken"`
	}{sent.Payload.PlainToken, hex.EncodeToString(s.sign(sent.Payload.PlainToken))})
}

func xReply(s *seal, r *http.Request, _ []byte, now time.Time) reply {
	sent := parameter(r, "crc_token")
	if len(r.URL.RawQuery) > maxHandshake || !token.MatchString(sent) || !s.signed(r, []byte(r.URL.RawQuery), now) {
		return nil
	}
	return object(struct {
		ResponseToken string `json:"response_token"`
	}{"sha256=" + base64.StdEncoding.EncodeToString(s.sign(sent))})
}

// sign returns the HMAC of a token.
func (s *seal) sign(token string) []byte {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(token))
	return h.Sum(nil)
}

// object returns a reply that is a JSON object, nil if it is too large.
func object(v any) reply {
	body, err := json.Marshal(v)
	if err != nil || len(body) > maxHandshake {
		return nil
	}
	return func(w http.ResponseWriter, _ *http.Request) { writeReply(w, "application/json", body) }
}
