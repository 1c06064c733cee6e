package upstream

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// weighs returns a judge that weighs answers with 200: one whose body has "yes" has the
// fate, and any other is passed on. told has what it was told about.
func weighs(fate Fate, told *[]Answer) Judge {
	return judge{
		head: func(status int) Fate {
			if status == http.StatusOK {
				return Weighed
			}
			return Passed
		},
		body: func(a *Answer) Fate {
			*told = append(*told, *a)
			if strings.Contains(string(a.Body), "yes") {
				return fate
			}
			return Passed
		},
	}
}

// weighing returns a recorder that weighs answers of at most that many bytes.
func weighing(w *client, limit int64, fate Fate) (*recorder, *[]Answer) {
	told := new([]Answer)
	rec := newRecorder(w, limit)
	rec.judge = weighs(fate, told)
	return rec, told
}

func TestAnswerThatIsWeighedIsDecidedOnAtTheEndOfItsValue(t *testing.T) {
	for name, c := range map[string]struct {
		writes []string
		ended  bool
		passed string
		kept   bool
	}{
		"in one":           {[]string{`{"say":"yes"}`}, false, "", true},
		"in pieces":        {[]string{`{"say`, `":"y`, `es"`, `}`}, false, "", true},
		"more after":       {[]string{`{"say":"yes"}`, "more"}, false, "", true},
		"more with it":     {[]string{`{"say":"yes"}` + strings.Repeat("x", 60)}, false, "", true},
		"not yet":          {[]string{`{"say":"yes"`}, false, "", false},
		"cut short":        {[]string{`{"say":"no"`}, true, `{"say":"no"`, false},
		"no":               {[]string{`{"say`, `":"no"}`, " and ", "more"}, false, `{"say":"no"} and more`, false},
		"no, with more":    {[]string{`{"say":"no"} and `, "yes"}, false, `{"say":"no"} and yes`, false},
		"no, with much":    {[]string{`{"say":"no"}` + strings.Repeat("yes", 20)}, false, `{"say":"no"}` + strings.Repeat("yes", 20), false},
		"a number":         {[]string{"1", "2"}, true, "12", false},
		"no JSON":          {[]string{"data: ", "1"}, false, "data: 1", false},
		"nothing":          {nil, true, "", false},
		"too large":        {[]string{`{"say":"`, strings.Repeat("x", 40), strings.Repeat("y", 40), `"}`}, false, `{"say":"` + strings.Repeat("x", 40) + strings.Repeat("y", 40) + `"}`, false},
		"too large at all": {[]string{`{"say":"` + strings.Repeat("yes", 40) + `"}`}, false, `{"say":"` + strings.Repeat("yes", 40) + `"}`, false},
	} {
		w := newClient()
		a, told := weighing(w, 64, KeptHead)
		a.Header().Set("X-From", "upstream")
		a.WriteHeader(http.StatusOK)
		for _, b := range c.writes {
			if n, err := a.Write([]byte(b)); n != len(b) || err != nil {
				t.Errorf("%s: wrote %d: %v", name, n, err)
			}
		}
		if c.ended {
			a.close()
		}
		if isClosed(a.ready) != c.kept || w.body.String() != c.passed {
			t.Errorf("%s: kept %v, passed on %q", name, isClosed(a.ready), w.body.String())
		}
		if passed := c.passed != "" || name == "nothing"; passed != a.passed || passed != slices.Equal(w.seen, []string{"200 upstream"}) || passed != isClosed(a.passing) {
			t.Errorf("%s: passed %v, the client saw %v", name, a.passed, w.seen)
		}
		if len(*told) > 1 || strings.HasPrefix(name, "too large") && ((*told)[0].Lost == nil || (*told)[0].Body != nil) {
			t.Errorf("%s: the judge was told %+v", name, *told)
		}
	}
}

func TestAnswerThatIsWeighedAndNeededAsAWholeIsKeptAsAWhole(t *testing.T) {
	a, _ := weighing(newClient(), 64, Kept)
	_, _ = a.Write([]byte(`{"say":"yes"}`))
	if isClosed(a.ready) {
		t.Error("it is ready before its end")
	}
	_, _ = a.Write([]byte(` and more`))
	if got, err := responseOf(a); err != nil || string(got.Body.Data) != `{"say":"yes"} and more` {
		t.Errorf("kept is %+v", got)
	}
}

func TestHeaderTrailerAndFlushOfAWeighedAnswerPass(t *testing.T) {
	for name, early := range map[string]bool{"decided on before the trailer": true, "decided on at the end": false} {
		w := newClient()
		a, _ := weighing(w, 64, Kept)
		a.room.Passed = 64
		a.Header().Set("X-From", "upstream")
		a.Header().Set("Trailer", "X-Sum")
		a.WriteHeader(http.StatusOK)
		a.Header().Set("X-Late", "1")
		body := `"no`
		if early {
			body += `"`
		}
		_, _ = a.Write([]byte(body))
		a.Flush()
		a.Header().Set("X-Sum", "7")
		a.close()
		if !slices.Equal(w.seen, []string{"200 upstream"}) || w.body.String() != body || w.flushed == 0 || w.header.Get("Trailer") != "X-Sum" || w.header.Get("X-Sum") != "7" {
			t.Errorf("%s: the client saw %v and %q, flushed %d, header %v", name, w.seen, w.body.String(), w.flushed, w.header)
		}
		if got, err := responseOf(a); err != nil || string(got.Body.Data) != body {
			t.Errorf("%s: kept is %+v", name, got)
		}
	}
}

func TestAnswerThatBreaksOffWhileItIsWeighedIsUnknown(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic(http.ErrAbortHandler) }, "end": func() {}} {
		h := newHeld()
		told := new([]Answer)
		c := h.startKeeping(64, weighs(Kept, told), func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"say":"`))
			end()
		})
		<-c.Done()
		if broken := name == "panic"; (c.Outcome() == Unknown) != broken || (len(*told) == 0) != broken || (h.w.Body.Len() == 0) != broken {
			t.Errorf("%s: outcome %d, the judge was told %v, the client saw %q", name, c.Outcome(), *told, h.w.Body)
		}
	}
}

func TestGatewayStatusThatIsWeighedIsNotPassedOn(t *testing.T) {
	w := newClient()
	a, _ := weighing(w, 64, Kept)
	a.judge = judge{head: func(int) Fate { return Weighed }, body: a.judge.Body}
	a.WriteHeader(http.StatusBadGateway)
	_, _ = a.Write([]byte(`"no"`))
	if a.gateway != http.StatusBadGateway || a.passed || len(w.seen) != 0 {
		t.Errorf("gateway %d, the client saw %v", a.gateway, w.seen)
	}
}

func TestWeighedAnswerThatIsTakenBackIsDropped(t *testing.T) {
	h := newHeld()
	begun, goOn := make(chan struct{}), make(chan struct{})
	told := new([]Answer)
	c := h.startKeeping(64, weighs(Kept, told), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"say":`))
		close(begun)
		<-goOn
		if _, err := w.Write([]byte(`"no"}`)); err != nil {
			panic(errors.New("it was refused"))
		}
	})
	<-begun
	if !c.TakeBack() {
		t.Fatal("the answer is passed on")
	}
	close(goOn)
	<-c.Done()
	if len(*told) != 0 || h.w.Body.Len() != 0 || c.Crash() != nil {
		t.Errorf("the judge was told %v, the client saw %q, panic %v", *told, h.w.Body, c.Crash())
	}
}
