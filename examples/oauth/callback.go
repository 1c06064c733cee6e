package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// callback is what the API answers when the app asks for one.
type callback struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	RedirectURI string `json:"redirectUri"`
}

// newCallback asks for a callback: its state comes in the parameter state, and the
// browser that calls it is redirected to the page /signed-in.
func newCallback(ctx context.Context) (c callback, err error) {
	const wanted = `{"stateQueryParameter":"state","responseType":"redirect","responseRedirectUrl":"/signed-in"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api.String()+"/callbacks", bytes.NewReader([]byte(wanted)))
	if err != nil {
		return c, err
	}
	req.Header.Set("Content-Type", "application/json")
	return c, exchange(req, http.StatusCreated, &c)
}

// awaitCall waits until the callback was called, and returns what came with the
// call.
func awaitCall(ctx context.Context, id string) (url.Values, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api.String()+"/callbacks/"+id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Prefer", "wait=20")
	var status struct {
		LatestCall *struct {
			Method string         `json:"method"`
			Query  map[string]any `json:"query"`
			Body   string         `json:"body"`
		} `json:"latestCall"`
	}
	if err := exchange(req, http.StatusOK, &status); err != nil {
		return nil, err
	}
	call := status.LatestCall
	if call == nil {
		return nil, fmt.Errorf("nobody has come back from the authorization server")
	}
	// With response_mode=form_post the answer comes in a form, else in the query.
	if strings.EqualFold(call.Method, http.MethodPost) {
		return url.ParseQuery(call.Body)
	}
	values := make(url.Values)
	for name, value := range call.Query {
		// A parameter that comes more than once is a list, which OAuth does not use.
		if one, ok := value.(string); ok {
			values.Set(name, one)
		}
	}
	return values, nil
}

// exchange sends a request and reads the JSON in its answer.
func exchange(req *http.Request, want int, answer any) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != want {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL.Path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}
