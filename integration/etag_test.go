package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// having returns a request of a client that has the content with this entity tag.
func having(t *testing.T, method, url, tag string, lines ...string) *http.Request {
	t.Helper()
	req := harness.NewRequest(t, method, url, "", "")
	req.Header.Set("If-None-Match", tag)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return req
}

// tagged fetches a URL, and returns the entity tag of its content.
func (s *stage) tagged(t *testing.T, url string) string {
	t.Helper()
	got := s.fetch(t, url)
	wantStatus(t, got, http.StatusOK)
	tag := got.Header.Get("ETag")
	if opaque := strings.TrimPrefix(tag, "W/"); len(opaque) < 3 || !strings.HasPrefix(opaque, `"`) || !strings.HasSuffix(opaque, `"`) {
		t.Fatalf("ETag is %q", tag)
	}
	return tag
}

// wantUnchanged checks that the client was told that its content is unchanged.
func wantUnchanged(t *testing.T, got *harness.Response, tag string) {
	t.Helper()
	wantAnswer(t, got, http.StatusNotModified, "")
	wantHeader(t, got.Header, "Etag", tag)
	wantNotStored(t, got.Header)
}

func TestWhoHasTheStatusIsNotSentItAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Start(t, withAPI(s, harness.Config{Private: s.parks("")}, "key off"))
	x := s.post(t, "text/plain", "x")
	p := s.wantParked(t, x.Answer(t))
	for name, url := range map[string]string{"ticket": p.StatusURL, "API": apiURL + "/" + p.ID} {
		tag := s.tagged(t, url)
		opaque := strings.TrimPrefix(tag, "W/")
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, known := range []string{opaque, "W/" + opaque, `"other, one" , ` + opaque, `"other",W/` + opaque, "*"} {
				wantUnchanged(t, s.public(t, having(t, method, url, known)), tag)
			}
			for _, known := range []string{`"other"`, strings.Trim(opaque, `"`), `"other, ` + strings.Trim(opaque, `"`) + `"`, `"`} {
				got := s.public(t, having(t, method, url, known))
				wantStatus(t, got, http.StatusOK)
				wantHeader(t, got.Header, "Etag", tag)
				if (len(got.Body) > 0) != (method == http.MethodGet) {
					t.Errorf("%s %s: the body is %s", method, name, short(got.Body))
				}
			}
		}
	}
	waiting := s.tagged(t, p.StatusURL)
	x.resolve(t, "done")
	wantStatus(t, s.public(t, having(t, http.MethodGet, p.StatusURL, waiting)), http.StatusOK)
}

func TestWhoHasTheResultIsNotSentItAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := withAPI(s, harness.Config{Private: s.parks("")}, "key off")
	s.Start(t, cfg)
	x := s.post(t, "text/plain", "x")
	p := s.wantParked(t, x.Answer(t))
	before := s.public(t, having(t, http.MethodGet, p.ResultURL, "*"))
	wantStatus(t, before, http.StatusAccepted)
	wantHeader(t, before.Header, "Etag")
	x.resolve(t, noise(1<<20))
	tag := s.tagged(t, p.ResultURL)
	s.Kill(t)
	s.Start(t, cfg)
	for _, url := range []string{p.ResultURL, apiURL + "/" + p.ID + "/result"} {
		wantUnchanged(t, s.public(t, having(t, http.MethodGet, url, tag)), tag)
		wantUnchanged(t, s.public(t, having(t, http.MethodHead, url, tag)), tag)
		head := s.public(t, harness.NewRequest(t, http.MethodHead, url, "", ""))
		wantAnswer(t, head, http.StatusOK, "")
		wantHeader(t, head.Header, "Content-Length", "1048576")
		wantHeader(t, head.Header, "Etag", tag)
	}
}

func TestResultKeepsTheETagThatItCameWith(t *testing.T) {
	t.Parallel()
	s := startParked(t, "")
	for given, shown := range map[string]string{`"v1"`: `"v1"`, `W/"v, 1"`: `W/"v, 1"`, "v1": ""} {
		x := s.post(t, "text/plain", "x")
		p := s.wantParked(t, x.Answer(t))
		wantStatus(t, x.callWith(t, "ETag", given, "done"), http.StatusOK)
		tag := s.fetch(t, p.ResultURL).Header.Get("ETag")
		if shown != "" && tag != shown || shown == "" && !strings.HasPrefix(tag, `"`) {
			t.Errorf("for %s the ETag is %s", given, tag)
		}
		wantUnchanged(t, s.public(t, having(t, http.MethodGet, p.ResultURL, tag)), tag)
	}
}

func TestFailureIsToldWhateverTheClientHas(t *testing.T) {
	t.Parallel()
	s := startParked(t, "failed_body on")
	x := s.post(t, "text/plain", "x")
	p := s.wantParked(t, x.Answer(t))
	wantStatus(t, x.callWith(t, statusHeader, "Failed", "no stock"), http.StatusOK)
	got := s.public(t, having(t, http.MethodGet, p.ResultURL, "*"))
	wantAnswer(t, got, http.StatusFailedDependency, "no stock")
	wantHeader(t, got.Header, "Etag")
}

// changing waits until that many requests wait for a change.
func (s *stage) changing(t *testing.T, n int) {
	t.Helper()
	harness.Eventually(t, "requests wait for a change", func() bool { return s.GoroutinesIn(t, "answer.Reading.awaitChange") == n })
}

func TestWhoHasTheStatusIsToldOfTheNextChange(t *testing.T) {
	t.Parallel()
	s := openAPI(t, harness.Config{})
	c := s.create(t, `{"allowMultipleCalls":true}`)
	for i, url := range []string{apiURL + "/" + c.ID, apiURL + "/" + c.ID + "/result"} {
		if i == 1 {
			// Before the first call there is no result.
			wantStatus(t, s.fetch(t, url), http.StatusOK)
		}
		for _, body := range []string{"one", "two"} {
			tag := s.tagged(t, url)
			waiting := harness.Send(s.Client(t, harness.HTTP1), having(t, http.MethodGet, url, tag, "Prefer", "wait=60"))
			s.changing(t, 1)
			wantStatus(t, s.callURL(t, http.MethodPost, c.CallbackURL, body), http.StatusOK)
			got := waiting.Answer(t)
			wantStatus(t, got, http.StatusOK)
			wantHeader(t, got.Header, "Preference-Applied", "wait=60")
			if !strings.Contains(string(got.Body), body) || got.Header.Get("ETag") == tag {
				t.Errorf("the change is %s with the ETag %s", short(got.Body), got.Header.Get("ETag"))
			}
		}
	}
}

func TestChangeWhileTheCallbackWaitsIsTold(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	path := s.path()
	s.Start(t, harness.Config{Private: "callback park {\n\tname orders\n\tcall {\n\t\t" + s.toPartner() + "\t}\n}\n"})
	release := make(chan struct{})
	s.partner.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "text/plain", "x"))
	p := s.wantParked(t, x.Answer(t))
	url := p.StatusURL
	tag := s.tagged(t, url)
	waiting := harness.Send(s.Client(t, harness.HTTP1), having(t, http.MethodGet, url, tag, "Prefer", "wait=60"))
	end := harness.Send(s.Client(t, harness.HTTP1), having(t, http.MethodGet, p.ResultURL, tag, "Prefer", "wait=60"))
	s.changing(t, 2)
	close(release)
	got := waiting.Answer(t)
	wantStatus(t, got, http.StatusOK)
	if !strings.Contains(string(got.Body), `"attempts":1`) || !strings.Contains(string(got.Body), `"waiting"`) {
		t.Errorf("the change is %s", short(got.Body))
	}
	x.resolve(t, "the end")
	wantAnswer(t, end.Answer(t), http.StatusOK, "the end")
}

func TestWaitForAChangeThatDoesNotComeEndsWith304(t *testing.T) {
	t.Parallel()
	s := startParked(t, "")
	p := s.wantParked(t, s.post(t, "text/plain", "x").Answer(t))
	tag := s.tagged(t, p.StatusURL)
	got := s.public(t, having(t, http.MethodGet, p.StatusURL, tag, "Prefer", "wait=1"))
	wantUnchanged(t, got, tag)
	wantHeader(t, got.Header, "Preference-Applied", "wait=1")
	wantHeader(t, got.Header, "Vary", "Prefer")
	wantStatus(t, s.public(t, having(t, http.MethodGet, p.StatusURL, `"other"`, "Prefer", "wait=300")), http.StatusOK)
}
