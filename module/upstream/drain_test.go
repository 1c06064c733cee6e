package upstream

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

func TestOnlyWhatIsNeededOfAnAnswerIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		fate  Fate
		body  string
		ready bool
		kept  string
	}{
		"head":            {KeptHead, "begun", true, ""},
		"status":          {KeptStatus, "begun", true, ""},
		"JSON":            {KeptJSON, `{"a":[1,2]} `, true, `{"a":[1,2]}`},
		"JSON, and more":  {KeptJSON, `{"a":1}{"a":2}`, true, `{"a":1}`},
		"JSON, begun":     {KeptJSON, `{"a":[1,2]`, false, ""},
		"JSON, a number":  {KeptJSON, "12", false, ""},
		"no JSON":         {KeptJSON, "ok", true, "o"},
		"JSON, too large": {KeptJSON, `{"a":"` + string(make([]byte, 100)), true, ""},
		"XML":             {KeptXML, "<a>1</a><!-- ", true, "<a>1</a>"},
		"XML, begun":      {KeptXML, "<a>1</a", false, ""},
		"no XML":          {KeptXML, `{"a":1}`, true, `{`},
		"whole":           {Kept, `{}`, false, ""},
	} {
		h := newHeld()
		goOn, written := make(chan struct{}), make(chan struct{})
		call := h.startKeeping(64, always(c.fate), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ack", "1")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(c.body))
			close(written)
			<-goOn
			w.Header().Set("X-Ack", "2")
			_, _ = w.Write([]byte("more"))
		})
		<-written
		if isClosed(call.Ready()) != c.ready {
			t.Errorf("%s: ready is %v", name, !c.ready)
		}
		if c.ready {
			m := call.Message()
			if call.Outcome() != Answered || call.Status() != http.StatusAccepted || call.Broken() || string(m.Body) != c.kept || (m.Header.Get("X-Ack") != "1") != (c.fate == KeptStatus) {
				t.Errorf("%s: outcome %d, status %d, body %q, header %v", name, call.Outcome(), call.Status(), m.Body, m.Header)
			}
			if (call.Lost() != nil) != (c.kept == "" && c.fate == KeptJSON) {
				t.Errorf("%s: lost: %v", name, call.Lost())
			}
		} else if call.Outcome() != Underway {
			t.Errorf("%s: outcome is %d", name, call.Outcome())
		}
		close(goOn)
		<-call.Done()
		if call.Outcome() != Answered {
			t.Errorf("%s: the outcome in the end is %d", name, call.Outcome())
		}
	}
}

func TestRestOfAnAnswerIsBoundedInBytes(t *testing.T) {
	h := newHeld()
	ended := make(chan error, 1)
	c := h.start(10, head, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		for range 2 {
			_, _ = w.Write([]byte("12345"))
		}
		if r.Context().Err() != nil {
			ended <- errors.New("it was ended too early")
			return
		}
		_, _ = w.Write([]byte("6"))
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	<-c.Ready()
	if !c.TakeBack() {
		t.Fatal("the answer is passed on")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-c.Done()
}

func TestHandlersThatGoOnAreBoundedInNumber(t *testing.T) {
	drains.Add(MaxDrains)
	defer drains.Add(-MaxDrains)
	h := newHeld()
	c := h.start(1<<20, head, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		<-r.Context().Done()
	})
	<-c.Ready()
	if !c.TakeBack() {
		t.Fatal("the answer is passed on")
	}
	<-c.Done()
	if drains.Load() != MaxDrains {
		t.Errorf("%d go on", drains.Load()-MaxDrains)
	}
}

func TestHandlersThatGoOnCountOnce(t *testing.T) {
	h := newHeld()
	goOn := make(chan struct{})
	c := h.start(1<<20, head, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		<-goOn
	})
	<-c.Ready()
	before := drains.Load()
	for range 3 {
		if !c.TakeBack() {
			t.Fatal("the answer is passed on")
		}
	}
	if n := drains.Load() - before; n != 1 {
		t.Errorf("they count as %d", n)
	}
	close(goOn)
	<-c.Done()
}

func TestAnswerThatIsPassedOnIsNotTakenBack(t *testing.T) {
	h := newHeld()
	goOn := make(chan struct{})
	c := h.start(0, PassAll, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		<-goOn
		_, _ = w.Write([]byte("not found"))
	})
	<-c.Passing()
	if c.TakeBack() {
		t.Error("it was taken back")
	}
	close(goOn)
	<-c.Done()
	if h.w.Code != http.StatusNotFound || h.w.Body.String() != "not found" {
		t.Errorf("the client saw %d and %q", h.w.Code, h.w.Body)
	}
}
