package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
)

// thisCase is the case that the payment belongs to.
const thisCase = "1:142:432"

func newPlatform() http.Handler {
	p := new(http.ServeMux)
	p.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		page(w, http.StatusOK, `<p>Case `+thisCase+`: <a href="/pay">pay 17 euros</a></p>`)
	})
	p.HandleFunc("GET /pay", pay)
	p.HandleFunc("POST /activities/payment", handleResponse)
	p.HandleFunc("GET /case/{case}", func(w http.ResponseWriter, r *http.Request) {
		page(w, http.StatusOK, "<p>Case "+html.EscapeString(r.PathValue("case"))+": the payment is "+html.EscapeString(r.FormValue("payment"))+".</p>")
	})
	return p
}

// pay generates a callback URL, and sends the browser to the bank with it.
func pay(w http.ResponseWriter, r *http.Request) {
	callbackURL, err := generate(map[string]any{
		"callbackActivity":     "/activities/payment",
		"callbackActivityCase": thisCase,
		"responseType":         "redirect",
		"responseRedirectUrl":  "/case/" + thisCase + "?payment=unknown",
	})
	if err != nil {
		say("platform: could not generate a callback URL: %v", err)
		page(w, http.StatusBadGateway, "<p>Nobody can pay now.</p>")
		return
	}
	say("platform: generated a callback URL for case %s, and sends the browser to the bank", thisCase)
	http.Redirect(w, r, "http://"+bank.String()+"/?back="+url.QueryEscape(callbackURL), http.StatusFound)
}

// generate asks the API for a callback URL.
func generate(fields map[string]any) (string, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	res, err := http.Post("http://"+api.String()+"/callbacks", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusCreated {
		return "", errors.New(res.Status)
	}
	var made struct {
		CallbackURL string `json:"callbackUrl"`
	}
	return made.CallbackURL, json.NewDecoder(res.Body).Decode(&made)
}

// handleResponse is the callback response handler. It is asked about each call before
// the call is accepted, and decides how the call is answered.
func handleResponse(w http.ResponseWriter, r *http.Request) {
	var call struct {
		RequestMethod        string            `json:"requestMethod"`
		RequestQuery         map[string]string `json:"requestQuery"`
		CallbackActivityCase string            `json:"callbackActivityCase"`
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		http.Error(w, "not what was asked for", http.StatusBadRequest)
		return
	}
	outcome, known := map[string]string{"ok": "complete", "cancelled": "cancelled"}[call.RequestQuery["status"]]
	if !known {
		// The call is refused, and can be made again.
		say("platform: the payment of case %s came back with something odd", call.CallbackActivityCase)
		http.Error(w, "there is no such status", http.StatusUnprocessableEntity)
		return
	}
	say("platform: the payment of case %s is %s, said by a %s", call.CallbackActivityCase, outcome, call.RequestMethod)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"responseRedirectUrl":"/case/%s?payment=%s"}`, url.PathEscape(call.CallbackActivityCase), outcome)
}
