package integration

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

const soapType = "application/soap+xml; charset=utf-8"

// envelope returns a SOAP message.
func envelope(header, body string) string {
	return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<env:Envelope xmlns:env='http://www.w3.org/2003/05/soap-envelope'>" + header +
		"<env:Body>" + body + "</env:Body></env:Envelope>\r\n"
}

// replyTo returns where a SOAP message says that the answer goes.
func replyTo(t *testing.T, body []byte) (url, id string) {
	t.Helper()
	var message struct {
		XMLName xml.Name `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
		Header  struct {
			ReplyTo struct {
				ID      string `xml:"id,attr"`
				Address string `xml:"http://www.w3.org/2003/05/soap-envelope Address"`
			} `xml:"http://www.w3.org/2003/05/soap-envelope ReplyTo"`
		} `xml:"http://www.w3.org/2003/05/soap-envelope Header"`
	}
	if err := xml.Unmarshal(body, &message); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return message.Header.ReplyTo.Address, message.Header.ReplyTo.ID
}

func TestPartnerThatSpeaksSOAP(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + `inject off
inject xml /Envelope/Header/ReplyTo/Address "{http.callback.url}?a=1&b=2"
inject xml /Envelope/Header/ReplyTo/@id {http.callback.correlation_id}
progress xml /Envelope/Body/Accepted
failed xml /Envelope/Body/Fault
error_code xml /Envelope/Body/Fault/Code/Value
error_text xml /Envelope/Body/Fault/@text`})
	order := "<o:Order xmlns:o='urn:o' o:n=\"&#65;\">\r\n\t<![CDATA[<é>]]><!-- & --></o:Order>"
	fault := `<env:Fault text="kein &quot;Lager&quot;"><env:Code><env:Value> env:Receiver </env:Value></env:Code></env:Fault>`
	for header, after := range map[string]string{
		"<env:Header/>":                  "<env:Header>",
		"<env:Header> <x/></env:Header>": "<env:Header> <x/>",
	} {
		x := s.post(t, soapType, envelope(header, order))
		wantLengthOfBody(t, x)
		url, id := replyTo(t, x.received.Body)
		x.url = strings.TrimSuffix(url, "?a=1&b=2")
		s.NeverLog(x.state())
		if got := string(x.received.Body); !strings.HasSuffix(url, "?a=1&b=2") || !wholeUUID.MatchString(id) || !strings.Contains(got, after+"<env:ReplyTo") ||
			!strings.HasSuffix(got, "</env:Header><env:Body>"+order+"</env:Body></env:Envelope>\r\n") {
			t.Errorf("%s became %s", header, got)
		}
		wantStatus(t, x.call(t, soapType, envelope("", "<a:Accepted xmlns:a='urn:a'><a:At/></a:Accepted>")), http.StatusOK)
		x.wantPhase(t, "waiting")
		wantStatus(t, x.call(t, soapType, envelope("", fault)), http.StatusOK)
		want := failure{document: "Failed", code: "env:Receiver", text: `kein "Lager"`}
		want.isAnswer(t, x.Answer(t), http.StatusFailedDependency)
	}
	x := s.post(t, "text/xml", envelope("<env:Header/>", order))
	url, _ := replyTo(t, x.received.Body)
	x.url = url
	done := envelope("", "<Done/>")
	wantStatus(t, x.call(t, soapType, done), http.StatusOK)
	wantAnswer(t, x.Answer(t), http.StatusOK, done)
}

func TestXMLThatReadersReadDifferentlyIsNeverASuccess(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: showStatus + "failed xml /Reply/Code FAIL 5xx"})
	x := s.get(t)
	for body, status := range map[string]int{
		`<Reply><Code>OK</Code><Code>FAIL</Code></Reply>`:                      http.StatusBadRequest,
		`<Reply xmlns:a="u"><a:Code>OK</a:Code><Code>FAIL</Code></Reply>`:      http.StatusBadRequest,
		`<!DOCTYPE Reply [<!ENTITY f "FAIL">]><Reply><Code>&f;</Code></Reply>`: http.StatusBadRequest,
		`<!DOCTYPE Reply SYSTEM "http://localhost/x.dtd"><Reply/>`:             http.StatusBadRequest,
		`<Reply><Code>OK</Code></Reply><Reply><Code>FAIL</Code></Reply>`:       http.StatusBadRequest,
		`<Reply><Code>OK</Code>`:                                                    http.StatusBadRequest,
		`<Reply><Code><x>OK</x></Code></Reply>`:                                     http.StatusBadRequest,
		`<a:Reply><Code>OK</Code></a:Reply>`:                                        http.StatusBadRequest,
		strings.Repeat("<Reply>", 65) + strings.Repeat("</Reply>", 65):              http.StatusBadRequest,
		"\xff\xfe<\x00R\x00/\x00>\x00":                                              http.StatusBadRequest,
		`{"Code":"FAIL"}`:                                                           http.StatusBadRequest,
		`<?xml version="1.0" encoding="ISO-8859-1"?><Reply><Code>OK</Code></Reply>`: http.StatusUnsupportedMediaType,
	} {
		wantProblem(t, x.call(t, "application/xml", body), status, "unreadable")
	}
	wantProblem(t, x.call(t, "application/xml; charset=utf-16", "<Reply/>"), http.StatusUnsupportedMediaType, "unreadable")
	x.wantPhase(t, "waiting")
	wantStatus(t, x.call(t, "text/plain", "\ufeff<r:Reply xmlns:r='u'>\n<r:Code>\n<![CDATA[503]]>\n</r:Code></r:Reply>"), http.StatusOK)
	wantProblem(t, x.Answer(t), http.StatusFailedDependency, "failed")
}

func TestRequestIntoWhoseXMLNothingCanBePutIsNotPassedOn(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Config{Hold: "inject xml /Order/ReplyTo {http.callback.url}"})
	for body, c := range map[string]struct {
		contentType string
		status      int
		slug        string
	}{
		`<Order><ReplyTo/><ReplyTo/></Order>`: {"text/xml", http.StatusBadRequest, "invalid-body"},
		`<Offer/>`:                            {"text/xml", http.StatusBadRequest, "invalid-body"},
		`<!DOCTYPE Order><Order/>`:            {"text/xml", http.StatusBadRequest, "invalid-body"},
		`<Order>text</Order>`:                 {"text/xml", http.StatusBadRequest, "invalid-body"},
		``:                                    {"text/xml", http.StatusBadRequest, "invalid-body"},
		`<Order/>`:                            {"text/plain", http.StatusUnsupportedMediaType, "not-xml"},
		`<Order a=""/>`:                       {"text/xml; charset=utf-16", http.StatusUnsupportedMediaType, "not-xml"},
		`<?xml version="1.0" encoding="windows-1252"?><Order/>`: {"text/xml", http.StatusUnsupportedMediaType, "not-xml"},
	} {
		path := s.path()
		answer := s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), c.contentType, body))
		wantProblem(t, answer, c.status, c.slug)
		if s.partner.Arrived(path) != 0 {
			t.Errorf("the partner got %s", body)
		}
	}
	x := s.post(t, "text/xml", "\ufeff<Order><ReplyTo>mine</ReplyTo></Order>")
	if got, want := string(x.received.Body), "<Order><ReplyTo>"+x.url+"</ReplyTo></Order>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	x.stillWaits(t)
}

func TestCorrelationIDIsFoundInXML(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{
		Public: "callback_server {\n\tcorrelation_id xml /Reply/Job/@id\n}",
		Hold:   "key env\ncorrelation_id request xml /Order/Id",
	})
	x := s.post(t, "application/xml", "<Order><Id>A-7</Id></Order>")
	wantHeader(t, x.received.Header, correlationHeader, "A-7")
	body := `<Reply><Job id="A-7"/></Reply>`
	wantAnswer(t, s.callURL(t, http.MethodPost, fixedURL, body, append(bearer(envKey), "Content-Type", "text/xml")...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, body)
	path := s.path()
	answer := s.public(t, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/xml", "<Order><Id>A-8</Id><Id>A-9</Id></Order>"))
	wantProblem(t, answer, http.StatusBadRequest, "invalid-correlation-id")
}

func TestResultIsDeliveredToTheURLInXML(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	s := delivers(t, "allow "+g.URL+"\nfrom xml /Order/ReplyTo")
	x := s.post(t, "text/xml", "<Order><ReplyTo>\n\t"+g.URL+"/hooks?a=1&amp;b=2\n</ReplyTo><n/></Order>")
	s.wantParked(t, x.Answer(t))
	if got, want := string(x.received.Body), "<Order><ReplyTo>"+x.url+"</ReplyTo><n/></Order>"; got != want {
		t.Errorf("the partner got %s, want %s", got, want)
	}
	x.resolve(t, "done")
	if got := g.delivered(t); got.URI != "/hooks?a=1&b=2" || string(got.Body) != "done" {
		t.Errorf("delivered %s %s", got.URI, got.Body)
	}
}

func TestAckIsKnownByWhatItsXMLSays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const lines = "ack 200\nack xml /Envelope/Body/Reply/Status accepted queued\nack xml /Envelope/Body/Reply/@id"
	s.Start(t, harness.Config{Private: s.HoldAndForward("/orders*", "", lines) + "handle /jobs* {\ncallback park {\nname jobs\n" + lines + "\ncall {\n" + s.toPartner() + "}\n}\n}\n"})
	reply := func(status string) string {
		return envelope("<env:Header/>", "<r:Reply xmlns:r='urn:r' id='7'><r:Status>\n"+status+"\n</r:Status></r:Reply>")
	}
	for name, c := range map[string]struct {
		body         string
		acked, waits bool
	}{
		"accepted":           {reply("accepted"), true, true},
		"queued":             {reply("<![CDATA[queued]]>") + "<!-- the end -->", true, true},
		"rejected":           {reply("rejected"), false, false},
		"no status":          {"<Reply id='7'/>", false, false},
		"no id":              {strings.Replace(reply("accepted"), " id='7'", "", 1), false, false},
		"no XML":             {`{"status":"accepted"}`, false, true},
		"a DTD":              {"<!DOCTYPE a>" + reply("accepted"), false, true},
		"two of them":        {envelope("", "<Reply id='7'><Status>accepted</Status><Status>rejected</Status></Reply>"), false, true},
		"cut short":          {strings.TrimSuffix(reply("accepted"), "</env:Envelope>\r\n"), false, true},
		"elements, not text": {reply("<accepted/>"), false, true},
	} {
		path := s.path()
		s.partner.Handle(path, harness.Ack(http.StatusOK, http.Header{"Content-Type": {soapType}}, c.body))
		x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
		switch {
		case c.acked:
			x.stillWaits(t)
			continue
		case c.waits:
			wantAnswer(t, x.Answer(t), http.StatusOK, c.body)
			if got := x.call(t, "text/plain", "it was"); got.Status != http.StatusOK {
				t.Errorf("%s: the callback does not wait: %d", name, got.Status)
			}
		default:
			wantAnswer(t, x.Answer(t), http.StatusOK, c.body)
			x.closed(t)
		}
	}
	s.partner.Handle("/jobs/1", harness.Ack(http.StatusOK, http.Header{}, reply("accepted")))
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL("/jobs/1"), "text/plain", "order"))
	p := s.wantParked(t, x.Answer(t))
	x.resolve(t, "done")
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "done")
}

// An ack is an ack as soon as its root element has ended, however its bytes come.
func TestAckInXMLIsNotWaitedForBeyondItsRoot(t *testing.T) {
	t.Parallel()
	s := keyed(t, harness.Config{Hold: "key env\nack xml /Reply/Status accepted\ncorrelation_id ack xml /Reply/@id"})
	path, release := s.path(), make(chan struct{})
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		for _, piece := range []string{"<?xml version='1.0'?><Reply id='A-", "7'><Status>acc", "epted</Status></Re", "ply><!-- and th"} {
			_, _ = w.Write([]byte(piece))
			flush(w)
		}
		<-release
	})
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "order"))
	wantAnswer(t, s.callFixed(t, "A-7", "paid", bearer(envKey)...), http.StatusOK, "")
	wantAnswer(t, x.Answer(t), http.StatusOK, "paid")
	close(release)
	// The partner must not go before its answer has arrived.
	s.Acknowledged(t)
}
