package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

// jobs plays an upstream that can be asked for the results of the requests that it has accepted.
type jobs struct {
	mu sync.Mutex
	// answers are given in turn to those who ask, the last one for good; empty: 202.
	answers []polledAnswer
	asked   []*harness.Received
	// goesTo is where the acks lead.
	goesTo func(r *http.Request) http.Header
	ack    string
}

type polledAnswer struct {
	status int
	header http.Header
	body   string
}

// pollable starts a server whose upstream can be asked, quickly. The stage's private site has
// the options, and those in poll.
func pollable(t *testing.T, mode, options, poll string) (*stage, *jobs, harness.Config) {
	t.Helper()
	s := newStage(t)
	j := servedBy(s)
	cfg := s.polls(mode, options, poll)
	s.Start(t, cfg)
	return s, j, cfg
}

// servedBy returns what the stage's partner plays.
func servedBy(s *stage) *jobs {
	j := &jobs{goesTo: func(r *http.Request) http.Header { return http.Header{"Location": {"/jobs" + r.URL.Path}} }}
	s.partner.HandleEvery(j.serve)
	return j
}

// polls returns the configuration of a pollable server.
func (s *stage) polls(mode, options, poll string) harness.Config {
	return harness.Config{Private: fmt.Sprintf("callback %s {\nname jobs\n%s\npoll {\nafter 1s\nevery 1s\n%s\nusing {\n%s}\n}\n}\n%s",
		mode, options, poll, s.toPartner(), s.toPartner())}
}

func (j *jobs) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	j.mu.Lock()
	defer j.mu.Unlock()
	if !strings.HasPrefix(r.URL.Path, "/jobs") {
		for name, values := range j.goesTo(r) {
			w.Header()[name] = values
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, strings.ReplaceAll(j.ack, "PATH", r.URL.Path))
		return
	}
	j.asked = append(j.asked, &harness.Received{Method: r.Method, URI: r.RequestURI, Header: r.Header.Clone(), Body: body})
	a := polledAnswer{status: http.StatusAccepted}
	if len(j.answers) > 0 {
		a = j.answers[0]
	}
	if len(j.answers) > 1 {
		j.answers = j.answers[1:]
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// answer sets what those get who ask.
func (j *jobs) answer(answers ...polledAnswer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.answers = answers
}

// times waits until the upstream was asked that often, and returns what it was asked.
func (j *jobs) times(t *testing.T, n int) (asked []*harness.Received) {
	t.Helper()
	harness.Eventually(t, "the upstream is asked", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		asked = j.asked
		return len(asked) >= n
	})
	return asked
}

// accept sends a request that the upstream accepts.
func (s *stage) accept(t *testing.T, lines ...string) *harness.Pending {
	t.Helper()
	req := harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(s.path()), jsonType, `{"a":1}`)
	for i := 0; i < len(lines); i += 2 {
		req.Header.Set(lines[i], lines[i+1])
	}
	return harness.Send(s.Client(t, harness.HTTP1), req)
}

var asJSON = http.Header{"Content-Type": {jsonType}}

func TestUpstreamIsAskedForTheResult(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "hold", "progress json status running queued\nfailed json status failed\nrequire correlation_id status", "from header Location")
	j.answer(polledAnswer{status: 202}, polledAnswer{503, nil, "later"}, polledAnswer{429, nil, ""}, polledAnswer{200, asJSON, `{"status":"running"}`},
		polledAnswer{200, asJSON, `{"status":`}, polledAnswer{200, http.Header{"Content-Type": {jsonType}, "Etag": {`"7"`}, "Set-Cookie": {"a=b"}}, `{"status":"done","price":7}`})
	x := s.accept(t, "Authorization", "Bearer the client's own", "Cookie", "a=b", "X-Tenant", "7")
	got := x.Answer(t)
	wantAnswer(t, got, http.StatusOK, `{"status":"done","price":7}`)
	wantHeader(t, got.Header, "Etag", `"7"`)
	wantHeader(t, got.Header, "Set-Cookie")
	asked := j.times(t, 6)
	if len(asked) != 6 {
		t.Errorf("the upstream was asked %d times", len(asked))
	}
	for _, r := range asked {
		if r.Method != http.MethodGet || r.URI != "/jobs/orders/1" || len(r.Body) > 0 {
			t.Errorf("the upstream was asked %s %s %s", r.Method, r.URI, r.Body)
		}
		for _, name := range []string{"Authorization", "Cookie", "X-Tenant", "Content-Type", callbackHeader} {
			wantHeader(t, r.Header, name)
		}
	}
}

func TestAnswerToAPollIsJudgedAsACallIs(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "hold", "failed json status failed\nerror_text json reason", "to /jobs/{http.callback.correlation_id}?by={http.callback.name}")
	j.answer(polledAnswer{200, asJSON, `{"status":"failed","reason":"no paper"}`})
	got := s.accept(t).Answer(t)
	wantProblem(t, got, http.StatusFailedDependency, "failed")
	if !strings.Contains(string(got.Body), "no paper") {
		t.Errorf("the client got %s", got.Body)
	}
	if r := j.times(t, 1)[0]; !strings.HasPrefix(r.URI, "/jobs/") || !strings.HasSuffix(r.URI, "?by=jobs") || !wholeUUID.MatchString(strings.TrimSuffix(strings.TrimPrefix(r.URI, "/jobs/"), "?by=jobs")) {
		t.Errorf("the upstream was asked %s", r.URI)
	}
	for _, status := range []int{404, 410, 300, 206} {
		j.answer(polledAnswer{status: status})
		wantProblem(t, s.accept(t).Answer(t), http.StatusFailedDependency, "failed")
	}
}

// The call or the answer to a poll, whichever comes first, is the result; the other changes
// nothing, and its sender cannot tell.
func TestWhicheverComesFirstIsTheResult(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "hold", "inject json url {http.callback.url}\nrespond noted 202", "from json url")
	urls := make(chan string, 1)
	j.goesTo = func(r *http.Request) http.Header {
		urls <- r.Header.Get(callbackHeader)
		return asJSON
	}
	j.ack = `{"url":"/jobs/PATH"}`
	call := func(url, body string) *harness.Response {
		s.NeverLog(anyUUID.FindString(url))
		return s.callURL(t, http.MethodPost, url, body)
	}
	x := s.accept(t)
	url := harness.Receive(t, "a URL", urls)
	j.times(t, 2)
	wantAnswer(t, call(url, "by call"), http.StatusAccepted, "noted")
	wantAnswer(t, x.Answer(t), http.StatusOK, "by call")
	wantProblem(t, call(url, "another"), http.StatusConflict, "already-resolved")

	j.answer(polledAnswer{200, nil, "by poll"})
	x = s.accept(t)
	url = harness.Receive(t, "a URL", urls)
	wantAnswer(t, x.Answer(t), http.StatusOK, "by poll")
	wantAnswer(t, call(url, "late"), http.StatusAccepted, "noted")
	wantAnswer(t, call(url, "later"), http.StatusAccepted, "noted")
}

func TestPollingGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	s, j, cfg := pollable(t, "park", "", "from header Operation-Location\nfrom header Location")
	p := s.wantParked(t, s.accept(t).Answer(t))
	j.times(t, 2)
	s.Kill(t)
	s.Start(t, cfg)
	j.answer(polledAnswer{200, nil, "the result"})
	harness.Eventually(t, "the callback is resolved", func() bool { return s.status(t, p.StatusURL).Phase == "resolved" })
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "the result")
}

// The 202 promises a result, and perhaps only polling brings it.
func TestClientIsParkedOnlyOncePollingSurvivesARestart(t *testing.T) {
	t.Parallel()
	s, j, cfg := pollable(t, "park", "", "from header Location")
	location := j.goesTo
	j.goesTo = func(r *http.Request) http.Header {
		// The callback itself has been committed by then.
		<-time.After(100 * time.Millisecond)
		return location(r)
	}
	j.answer(polledAnswer{200, nil, "the result"})
	p := s.wantParked(t, s.accept(t).Answer(t))
	s.Kill(t)
	s.Start(t, cfg)
	harness.Eventually(t, "the callback is resolved", func() bool { return s.status(t, p.StatusURL).Phase == "resolved" })
}

func TestRetryAfterSaysWhenToAskAgain(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "park", "", "from header Location")
	j.answer(polledAnswer{202, http.Header{"Retry-After": {"3600"}}, ""})
	s.wantParked(t, s.accept(t).Answer(t))
	j.times(t, 1)
	// Another one is asked about time and again meanwhile.
	j.answer(polledAnswer{status: 202})
	s.wantParked(t, s.accept(t).Answer(t))
	n := 0
	for _, r := range j.times(t, 8) {
		if r.URI == "/jobs/orders/1" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the upstream was asked %d times, and said that it wants to be asked after an hour", n)
	}
}

func TestURLOfAnotherHostIsNotAsked(t *testing.T) {
	t.Parallel()
	for location, asked := range map[string]string{
		"https://jobs.example.com/jobs/7?a=1": "/jobs/7?a=1", "https://elsewhere.example.com/jobs/8": "", "//elsewhere.example.com/jobs/9": "", "file:///jobs/10": "", "../jobs/11": "/jobs/11",
	} {
		t.Run(location, func(t *testing.T) {
			t.Parallel()
			s, j, _ := pollable(t, "park", "", "from header Location\nallow jobs.example.com")
			j.goesTo = func(*http.Request) http.Header { return http.Header{"Location": {location}} }
			j.answer(polledAnswer{200, nil, "the result"})
			p := s.wantParked(t, s.accept(t).Answer(t))
			if asked == "" {
				s.logged(t, "the upstream is not asked for the result", p.ID)
				return
			}
			harness.Eventually(t, "the callback is resolved", func() bool { return s.status(t, p.StatusURL).Phase == "resolved" })
			if got := j.times(t, 1); got[0].URI != asked {
				t.Errorf("the upstream was asked %s", got[0].URI)
			}
		})
	}
}

func TestRedirectsToTheSameHostAreFollowed(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "hold", "", "from header Location")
	to := func(location string) polledAnswer { return polledAnswer{303, http.Header{"Location": {location}}, ""} }
	j.answer(to("/jobs/7/result"), polledAnswer{200, nil, "the result"})
	wantAnswer(t, s.accept(t).Answer(t), http.StatusOK, "the result")
	if asked := j.times(t, 2); asked[1].URI != "/jobs/7/result" {
		t.Errorf("the upstream was asked %s", asked[1].URI)
	}
	j.answer(to("https://elsewhere.example.com/jobs/7"), polledAnswer{200, nil, "the result"})
	wantProblem(t, s.accept(t).Answer(t), http.StatusFailedDependency, "failed")
	j.answer(to("/jobs/again"))
	wantProblem(t, s.accept(t).Answer(t), http.StatusFailedDependency, "failed")
}

func TestUpstreamThatNeverEndsIsAskedUntilTheCallbackExpires(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "park", "expires_in 8s", "from header Location")
	p := s.wantParked(t, s.accept(t).Answer(t))
	j.times(t, 2)
	harness.Eventually(t, "the callback has expired", func() bool { return s.status(t, p.StatusURL).Phase == "expired" })
}

func TestLargeAnswersToPollsAreTakenUpToTheLimit(t *testing.T) {
	t.Parallel()
	s, j, _ := pollable(t, "hold", "", "from header Location")
	large := strings.Repeat("0123456789abcdef", 1<<20/16)
	j.answer(polledAnswer{200, nil, large})
	if got := s.accept(t).Answer(t); string(got.Body) != large {
		t.Errorf("the client got %d and %d bytes", got.Status, len(got.Body))
	}
	j.answer(polledAnswer{200, nil, strings.Repeat(large, 11)})
	wantProblem(t, s.accept(t).Answer(t), http.StatusFailedDependency, "failed")
}

func TestStepIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	j := &jobs{goesTo: func(r *http.Request) http.Header { return http.Header{"Location": {"/jobs" + r.URL.Path}} }}
	s.partner.HandleEvery(j.serve)
	s.Start(t, harness.Config{Private: "route {\ncallback hold {\nname jobs\ncall {\n" + s.toPartner() + "}\npoll {\nfrom header Location\nafter 1s\nevery 1s\n}\n}\nrewrite * /jobs/goes/on\n" + s.toPartner() + "}"})
	j.answer(polledAnswer{status: 202}, polledAnswer{200, nil, "the step's result"}, polledAnswer{200, nil, "the end"})
	wantAnswer(t, s.accept(t).Answer(t), http.StatusOK, "the end")
	if last := j.times(t, 3)[2]; last.URI != "/jobs/goes/on" || string(last.Body) != "the step's result" {
		t.Errorf("the request went on as %s %s", last.URI, last.Body)
	}
}

// A thin webhook says only that the result is there: it is fetched.
func TestResultIsFetchedAfterTheCall(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hold", "park"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			j := &jobs{goesTo: func(*http.Request) http.Header { return nil }}
			s.Start(t, harness.Config{Private: "callback " + mode + " {\nname jobs\nfailed json type failed\nfetch from json data.url {\n" + s.toPartner() + "}\n}\n" + s.toPartner()})
			path := s.path()
			s.partner.Handle("/jobs/7", j.serve)
			j.answer(polledAnswer{503, nil, ""}, polledAnswer{202, asJSON, `{"output":null}`}, polledAnswer{200, asJSON, `{"output":"text"}`})
			x := s.forward(t, harness.HTTP1, harness.NewRequest(t, http.MethodPost, harness.HTTP1.URL(path), "", ""))
			var p parked
			if mode == "park" {
				p = s.wantParked(t, x.Answer(t))
			}
			for range 2 {
				wantStatus(t, x.call(t, jsonType, `{"type":"completed","data":{"url":"/jobs/7"}}`), http.StatusOK)
			}
			if mode == "hold" {
				got := x.Answer(t)
				wantAnswer(t, got, http.StatusOK, `{"output":"text"}`)
				return
			}
			harness.Eventually(t, "the callback is resolved", func() bool { return s.status(t, p.StatusURL).Phase == "resolved" })
			wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, `{"output":"text"}`)
		})
	}
}

func TestResultThatCannotBeFetchedIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	j := &jobs{}
	s.partner.Handle("/jobs/8", j.serve)
	j.answer(polledAnswer{404, nil, "gone"})
	s.partner.Handle("/jobs/9", harness.Ack(http.StatusNotModified, nil, ""))
	s.partner.Handle("/jobs/10", harness.Ack(http.StatusMultipleChoices, nil, "these or those"))
	s.Start(t, harness.Config{Private: "callback hold {\nname jobs\nfailed json type failed\nfetch from json data.url {\n" + s.toPartner() + "}\n}\n" + s.toPartner()})
	for _, body := range []string{
		`{"data":{"url":"/jobs/8"}}`, `{"data":{"url":"/jobs/9"}}`, `{"data":{"url":"/jobs/10"}}`,
		`{"data":{}}`, `{"data":{"url":"https://elsewhere.example.com/jobs/8"}}`, `{"type":"failed"}`,
	} {
		x := s.post(t, jsonType, "{}")
		wantStatus(t, x.call(t, jsonType, body), http.StatusOK)
		if got := x.Answer(t); got.Status < 400 {
			t.Errorf("%s: the client got %d %s", body, got.Status, got.Body)
		}
	}
}

// The protocols in which upstreams are asked these days, as their specifications show them.
func TestProtocolsOfPolling(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header  http.Header
		ack     string
		options string
		poll    string
		answers []polledAnswer
		fetched string
		want    string
		asked   string
	}{
		"Azure's Operation-Location": {
			header: http.Header{"Operation-Location": {"/jobs/analyzeResults/7?api-version=2024-11-30"}}, poll: "from header Azure-AsyncOperation\nfrom header Operation-Location",
			options: "progress json status notStarted running\nfailed json status failed canceled\nsucceeded json status succeeded",
			answers: []polledAnswer{{200, http.Header{"Content-Type": {jsonType}, "Retry-After": {"1"}}, `{"status":"running"}`}, {200, asJSON, `{"status":"succeeded","analyzeResult":{}}`}},
			want:    `{"status":"succeeded","analyzeResult":{}}`, asked: "/jobs/analyzeResults/7?api-version=2024-11-30",
		},
		"AIP-151, done": {
			ack: `{"name":"operations/7","done":false}`, header: asJSON, poll: "to /jobs/v1/{http.callback.correlation_id}",
			options: "correlation_id ack json name\nfailed json error.code\nsucceeded json done true",
			answers: []polledAnswer{{200, asJSON, `{"name":"operations/7"}`}, {200, asJSON, `{"name":"operations/7","done":true,"response":{"a":1}}`}},
			want:    `{"name":"operations/7","done":true,"response":{"a":1}}`, asked: "/jobs/v1/operations%2F7",
		},
		"AIP-151, error": {
			ack: `{"name":"operations/8"}`, header: asJSON, poll: "to /jobs/v1/{http.callback.correlation_id}",
			options: "correlation_id ack json name\nfailed json error.code\nerror_text json error.message\nfailed_body on\nsucceeded json done true",
			answers: []polledAnswer{{200, asJSON, `{"done":true,"error":{"code":5,"message":"gone"}}`}}, want: `{"done":true,"error":{"code":5,"message":"gone"}}`, asked: "/jobs/v1/operations%2F8",
		},
		"OGC API Processes, with its results": {
			header: http.Header{"Location": {"/jobs/81574318"}}, poll: "from header Location",
			options: "correlation_id ack header Job\nprogress json status accepted running\nfailed json status failed dismissed\nsucceeded json status successful",
			answers: []polledAnswer{{200, asJSON, `{"jobID":"81574318","status":"accepted"}`}, {200, asJSON, `{"jobID":"81574318","status":"successful"}`}, {200, asJSON, `{"output":7}`}},
			fetched: "fetch to /jobs/{http.callback.correlation_id}/results", want: `{"output":7}`, asked: "/jobs/81574318",
		},
		"Replicate's urls.get": {
			ack: `{"id":"p7","urls":{"get":"/jobs/v1/predictions/p7"}}`, header: asJSON, poll: "from json urls.get",
			options: "progress json status starting processing\nfailed json status failed canceled aborted\nsucceeded json status succeeded",
			answers: []polledAnswer{{200, asJSON, `{"status":"starting"}`}, {200, asJSON, `{"status":"processing"}`}, {200, asJSON, `{"status":"succeeded","output":"text"}`}},
			want:    `{"status":"succeeded","output":"text"}`, asked: "/jobs/v1/predictions/p7",
		},
		"202 with Location": {
			header: http.Header{"Location": {"/jobs/9"}}, poll: "from header Location", answers: []polledAnswer{{202, nil, ""}, {200, nil, "done"}}, want: "done", asked: "/jobs/9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			header := c.header.Clone()
			if strings.Contains(c.options, "header Job") {
				header.Set("Job", "81574318")
			}
			j := &jobs{ack: c.ack, goesTo: func(*http.Request) http.Header { return header }}
			s.partner.HandleEvery(j.serve)
			fetch := ""
			if c.fetched != "" {
				fetch = c.fetched + " {\n" + s.toPartner() + "}\n"
			}
			s.Start(t, harness.Config{Private: fmt.Sprintf("callback hold {\nname jobs\n%s\n%spoll {\nafter 1s\nevery 1s\n%s\nusing {\n%s}\n}\n}\n%s", c.options, fetch, c.poll, s.toPartner(), s.toPartner())})
			j.answer(c.answers...)
			if got := s.accept(t).Answer(t); string(got.Body) != c.want {
				t.Errorf("the client got %d %s, want %s", got.Status, got.Body, c.want)
			}
			if asked := j.times(t, 1); asked[0].URI != c.asked {
				t.Errorf("the upstream was asked %s, want %s", asked[0].URI, c.asked)
			}
		})
	}
}

// Without the option nobody asks, and the call counts as it always has.
func TestCallIsTakenThoughPollingIsGoneFromTheConfiguration(t *testing.T) {
	t.Parallel()
	s, j, cfg := pollable(t, "park", "", "from header Location")
	urls := make(chan string, 1)
	location := j.goesTo
	j.goesTo = func(r *http.Request) http.Header {
		urls <- r.Header.Get(callbackHeader)
		return location(r)
	}
	p := s.wantParked(t, s.accept(t).Answer(t))
	url := harness.Receive(t, "a URL", urls)
	s.NeverLog(anyUUID.FindString(url))
	j.times(t, 1)
	without := cfg
	without.Private = "callback park {\nname jobs\n}\n" + s.toPartner()
	if err := s.Reload(t, without); err != nil {
		t.Fatal(err)
	}
	s.logged(t, "is not asked for the result any more", `"name":"jobs"`, p.ID)
	wantStatus(t, s.callURL(t, http.MethodPost, url, "the result"), http.StatusOK)
	wantAnswer(t, s.fetch(t, p.ResultURL), http.StatusOK, "the result")
}

// What was unpacked to look into an answer takes no memory afterwards.
func TestPackedAnswersToPollsAreLetGoOf(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	j := servedBy(s)
	cfg := s.polls("park", "progress json status running\nsucceeded json status done", "from header Location")
	cfg.Callback = "max_body_size 512KiB\nmax_memory 8MiB"
	s.Start(t, cfg)
	p := packings["deflate"]
	answer := func(status string) polledAnswer {
		var b strings.Builder
		for i := 0; b.Len() < 400<<10; i++ {
			fmt.Fprintf(&b, "%d,", i)
		}
		text := fmt.Sprintf(`{"numbers":[%s0],"status":%q}`, &b, status)
		return polledAnswer{200, http.Header{"Content-Type": {jsonType}, "Content-Encoding": {p.coding}}, p.of(t, text)}
	}
	running := answer("running")
	j.answer(running, running, running, running, running, running, answer("done"))
	parked := s.wantParked(t, s.accept(t).Answer(t))
	harness.Eventually(t, "the callback is resolved", func() bool { return s.status(t, parked.StatusURL).Phase == "resolved" })
}
