package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// inParts is a form as browsers and libraries send it with files.
type inParts struct{ contentType, body string }

// newParts returns a form with these names and values, and a file before the last of them.
func newParts(t *testing.T, fields ...string) inParts {
	t.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if i == len(fields)-2 {
			file, err := w.CreateFormFile("upload", "voice.wav")
			if err == nil {
				_, err = file.Write([]byte("RIFF\x00\r\n\xff"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return inParts{w.FormDataContentType(), b.String()}
}

// partsOf returns a form as mime/multipart reads it, and the names of its parts in order.
func partsOf(t *testing.T, received *harness.Received) (form *multipart.Form, names []string) {
	t.Helper()
	_, boundary, _ := strings.Cut(received.Header.Get("Content-Type"), "boundary=")
	r := multipart.NewReader(bytes.NewReader(received.Body), boundary)
	for part, err := r.NextPart(); !errors.Is(err, io.EOF); part, err = r.NextPart() {
		if err != nil {
			t.Fatalf("%v in %s", err, received.Body)
		}
		names = append(names, part.FormName())
	}
	form, err := multipart.NewReader(bytes.NewReader(received.Body), boundary).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return form, names
}

// A form service posts what somebody has filled in, with the files.
func TestFormInPartsSaysWhatItMeans(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + "failed form _status spam\nerror_text form message\nprogress form _status 1xx\nrespond \"thanks, {http.callback.call.form.name}\""})
	say := func(status string) inParts { return newParts(t, "name", "Zoë", "_status", status, "message", "hello") }
	x := s.get(t)
	for _, form := range []inParts{say("100"), say("received")} {
		wantAnswer(t, x.call(t, form.contentType, form.body), http.StatusOK, "thanks, Zoë")
	}
	if got := x.Answer(t); !strings.Contains(string(got.Body), "received") {
		t.Errorf("the client got %q", got.Body)
	}
	x, spam := s.get(t), say("spam")
	wantStatus(t, x.call(t, spam.contentType, spam.body), http.StatusOK)
	failure{document: "Failed", text: "hello"}.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
}

func TestFormInPartsThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "failed form status failed"})
	good := newParts(t, "status", "fine", "a", "1")
	_, boundary, _ := strings.Cut(good.contentType, "boundary=")
	x := s.get(t)
	for name, form := range map[string]inParts{
		"no boundary":        {"multipart/form-data", good.body},
		"another boundary":   {"multipart/form-data; boundary=other", good.body},
		"cut":                {good.contentType, good.body[:len(good.body)-4]},
		"bare line ends":     {good.contentType, strings.ReplaceAll(good.body, "\r\n", "\n")},
		"two values":         {good.contentType, strings.Replace(good.body, `"a"`, `"status"`, 1)},
		"name in other case": {good.contentType, strings.Replace(good.body, `"a"`, `"Status"`, 1)},
		"name*":              {good.contentType, strings.Replace(good.body, `name="a"`, `name*=UTF-8''status`, 1)},
		"also a file":        {good.contentType, strings.Replace(good.body, `"upload"`, `"status"`, 1)},
		"base64":             {good.contentType, strings.Replace(good.body, "\r\n\r\nfine", "\r\nContent-Transfer-Encoding: base64\r\n\r\nZmFpbGVk", 1)},
		"more after the end": {good.contentType, good.body + "--" + boundary + "\r\n"},
	} {
		if p := wantProblem(t, x.call(t, form.contentType, form.body), http.StatusBadRequest, "unreadable"); strings.Contains(p.Detail, "fine") {
			t.Errorf("%s: %s", name, p.Detail)
		}
	}
	latin := strings.Replace(good.body, "\r\n\r\nfine", "\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nfine", 1)
	wantProblem(t, x.call(t, good.contentType, latin), http.StatusUnsupportedMediaType, "unreadable")
	wantStatus(t, x.call(t, good.contentType, good.body), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, good.body)
}

// Slack posts payload=<JSON> when somebody presses a button in a message.
func TestJSONInAFieldSaysWhatItMeans(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + "progress form payload.type view_submission\nsucceeded form payload.actions.0.value approve\nerror_code form payload.actions.0.action_id\nrespond {http.callback.call.form.payload.user.name}"})
	payload := func(kind, value string) string {
		return fmt.Sprintf(`{"type":%q,"user":{"name":"zoë"},"actions":[{"action_id":"A1","value":%q}]}`, kind, value)
	}
	x := s.get(t)
	wantAnswer(t, x.call(t, formType, url.Values{"payload": {payload("view_submission", "")}}.Encode()), http.StatusOK, "zoë")
	wantProblem(t, x.call(t, formType, "payload=%7B"), http.StatusBadRequest, "unreadable")
	wantProblem(t, x.call(t, formType, url.Values{"payload": {`{"type":"a","type":"b"}`}}.Encode()), http.StatusBadRequest, "unreadable")
	approved := url.Values{"payload": {payload("block_actions", "approve")}}.Encode()
	wantAnswer(t, x.call(t, formType, approved), http.StatusOK, "zoë")
	wantAnswer(t, x.Answer(t), http.StatusOK, approved)

	x = s.get(t)
	denied := newParts(t, "a", "1", "payload", payload("block_actions", "deny"))
	wantAnswer(t, x.call(t, denied.contentType, denied.body), http.StatusOK, "zoë")
	failure{document: "Failed", code: "A1"}.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
}

// Some identity providers post the form that a browser brings back in parts.
func TestStateInPartsIsFoundAndTakenOut(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "state_query RelayState\nredir https://shop.example/in"})
	for _, query := range []string{"", "?RelayState=STATE"} {
		x := s.get(t)
		wrong := newParts(t, "RelayState", "00000000-0000-4000-8000-000000000000", "SAMLResponse", "PHNhbWxwOlJlc3BvbnNlLz4=")
		wantStatus(t, s.callURL(t, http.MethodPost, harness.BaseURL+"/cbq/RelayState"+query, wrong.body, "Content-Type", wrong.contentType), http.StatusNotFound)
		form := newParts(t, "RelayState", x.state(), "SAMLResponse", "PHNhbWxwOlJlc3BvbnNlLz4=")
		target := harness.BaseURL + "/cbq/RelayState" + strings.ReplaceAll(query, "STATE", x.state())
		reply := s.callURL(t, http.MethodPost, target, form.body, "Content-Type", form.contentType)
		wantStatus(t, reply, http.StatusSeeOther)
		wantHeader(t, reply.Header, "Location", "https://shop.example/in")
		got := x.Answer(t)
		wantStatus(t, got, http.StatusOK)
		left, names := partsOf(t, &harness.Received{Header: http.Header{"Content-Type": {form.contentType}}, Body: got.Body})
		if strings.Contains(string(got.Body), x.state()) || fmt.Sprint(names) != "[upload SAMLResponse]" || left.Value["SAMLResponse"][0] != "PHNhbWxwOlJlc3BvbnNlLz4=" {
			t.Errorf("the client got %q", got.Body)
		}
	}
}

func TestInjectFormIntoAnUpload(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject form notify {http.callback.url}\ninject form options.reply.url {http.callback.url}"})
	for _, options := range []string{`{"lang": "de"}`, "none"} {
		upload := newParts(t, "notify", "http://evil.test", "options", options, "end", "1")
		x := s.post(t, upload.contentType, upload.body)
		wantLengthOfBody(t, x)
		form, names := partsOf(t, x.received)
		want := map[string]string{"notify": x.url, "options": `{"lang": "de","reply":{"url":"` + x.url + `"}}`, "end": "1"}
		order := "[notify options upload end]"
		if options == "none" {
			want["options"], want["options.reply.url"], order = options, x.url, "[options.reply.url notify options upload end]"
		}
		for name, value := range want {
			if got := form.Value[name]; len(got) != 1 || got[0] != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
		if fmt.Sprint(names) != order {
			t.Errorf("the parts are %q", names)
		}
		rest := func(body string) string {
			return body[strings.Index(body, "Content-Disposition: form-data; name=\"upload\""):]
		}
		if rest(string(x.received.Body)) != rest(upload.body) {
			t.Errorf("the upload has changed: %q", x.received.Body)
		}
		x.stillWaits(t)
	}
	upload := newParts(t, "a", "1")
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), upload.contentType, strings.ReplaceAll(upload.body, "\r\n", "\n"))
	wantProblem(t, s.public(t, req), http.StatusBadRequest, "invalid-body")
}

func TestResultIsDeliveredToTheURLInAnUpload(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	for _, c := range []struct{ from, field, value string }{{"hook", "hook", "URL"}, {"options.hook", "options", `{"a":1,"hook":"URL"}`}} {
		s := delivers(t, "from form "+c.from+"\nallow "+g.URL)
		upload := newParts(t, c.field, strings.ReplaceAll(c.value, "URL", g.URL+"/hooks"), "end", "1")
		x := s.post(t, upload.contentType, upload.body)
		s.wantParked(t, x.Answer(t))
		if form, _ := partsOf(t, x.received); form.Value[c.field][0] != strings.ReplaceAll(c.value, "URL", x.url) || len(form.File["upload"]) != 1 {
			t.Errorf("the partner got %s", x.received.Body)
		}
		wantStatus(t, x.call(t, "text/plain", "done"), http.StatusOK)
		if d := g.delivered(t); d.URI != "/hooks" || string(d.Body) != "done" {
			t.Errorf("delivered %s %s", d.URI, d.Body)
		}
	}
}

// The fixed URL finds the callback by what a form holds.
func TestCallToTheFixedURLIsCorrelatedByAForm(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Public: "callback_server {\n\tcorrelation_id form payload.order\n}", Hold: "key env\ncorrelation_id request form order.id"})
	for i, order := range []inParts{newParts(t, "order.id", "o-0", "a", "1"), newParts(t, "order", `{"id":"o-1"}`, "a", "1")} {
		x := s.post(t, order.contentType, order.body)
		call := newParts(t, "a", "1", "payload", fmt.Sprintf(`{"order":"o-%d"}`, i))
		wantStatus(t, s.callURL(t, http.MethodPost, fixedURL, call.body, append(bearer(envKey), "Content-Type", call.contentType)...), http.StatusOK)
		wantAnswer(t, x.Answer(t), http.StatusOK, call.body)
	}
}
