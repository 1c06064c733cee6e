package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// api is how an app uses the callback API.
type api struct{ client *http.Client }

// created is what the API answers when it has made a callback.
type created struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	CallbackURL string `json:"callbackUrl"`
	RedirectURI string `json:"redirectUri"`
}

// status is what the API tells of a callback.
type status struct {
	Phase      string `json:"phase"`
	LatestCall *call  `json:"latestCall"`
}

// call is the call that came.
type call struct {
	Method string                     `json:"method"`
	Query  map[string]json.RawMessage `json:"query"`
	Body   string                     `json:"body"`
}

// signedIn is the app's page to which whoever calls is redirected.
const signedIn = "/signed-in"

// create asks for a callback whose state is in the parameter.
func (a *api) create(ctx context.Context, parameter string) (created, error) {
	var c created
	body, err := json.Marshal(map[string]string{
		"stateQueryParameter": parameter,
		"responseType":        "redirect",
		"responseRedirectUrl": signedIn,
	})
	if err != nil {
		return c, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, harness.HTTP1.URL("/callbacks"), bytes.NewReader(body))
	if err != nil {
		return c, err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := a.exchange(req, http.StatusCreated)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(answer, &c)
}

// wait waits until the callback has ended, and returns what the API then tells.
func (a *api) wait(ctx context.Context, id string) (status, error) {
	var s status
	answer, err := a.read(ctx, id, "wait=20")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(answer, &s)
}

// read returns what the API tells of a callback.
func (a *api) read(ctx context.Context, id, prefer string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, harness.HTTP1.URL("/callbacks/"+id), nil)
	if err != nil {
		return nil, err
	}
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	return a.exchange(req, http.StatusOK)
}

func (a *api) exchange(req *http.Request, want int) ([]byte, error) {
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %s %s", req.Method, req.URL.Path, resp.Status, body)
	}
	return body, err
}

// values returns what came with the call: in its body, if that is where a form
// brings it, else in its query.
func (c *call) values() (url.Values, error) {
	if strings.EqualFold(c.Method, http.MethodPost) {
		return url.ParseQuery(c.Body)
	}
	values := make(url.Values)
	for name, raw := range c.Query {
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("query parameter %s: %w", name, err)
		}
		values.Set(name, one)
	}
	return values, nil
}
