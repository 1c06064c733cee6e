package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
)

// house keeps answers in memory, and counts what it has.
type house struct {
	memory memory.Pool
	// spools is how many spools are not released, broken what writing to one fails with.
	spools int
	broken error
}

func newHouse() *house {
	h := new(house)
	h.memory.SetLimits(1<<20, 1<<20)
	return h
}

// room returns room for answers of that many bytes that are kept from the client.
func (h *house) room(kept, drained int64) Room {
	return Room{Kept: kept, Passed: -1, Drained: drained, Space: h.memory.For(memory.Nobody), Spool: h.spool}
}

func (h *house) spool() Spool {
	h.spools++
	return &spool{house: h}
}

// wantEmpty checks that nothing is left of any answer.
func (h *house) wantEmpty(t *testing.T, when string) {
	t.Helper()
	if h.spools != 0 || h.memory.Used() != 0 {
		t.Errorf("%s: %d spools and %d bytes are left", when, h.spools, h.memory.Used())
	}
}

type spool struct {
	bytes.Buffer
	house *house
}

func (s *spool) Write(b []byte) (int, error) {
	if s.house.broken != nil {
		return 0, s.house.broken
	}
	return s.Buffer.Write(b)
}

func (s *spool) Body() (callback.Body, error) { return callback.NewBody(s.Bytes()), s.house.broken }
func (s *spool) Release()                     { s.house.spools-- }

// begin returns a recorder whose answers have that fate, and has written to it.
func (h *house) begin(fate Fate, limit int64, writes ...string) *recorder {
	rec := newRecorder(newClient(), limit)
	rec.judge, rec.room = always(fate), h.room(limit, 0)
	switch fate {
	case Passed:
		rec.room.Passed = limit
	case Weighed:
		rec.judge = judge{head: func(int) Fate { return Weighed }, body: func(*Answer) Fate { return Kept }}
	}
	for _, b := range writes {
		_, _ = rec.Write([]byte(b))
	}
	return rec
}

func TestNothingIsLeftOfAnAnswer(t *testing.T) {
	const limit = 1000
	small, large := []string{"{", strings.Repeat("a", 600)}, []string{"{", strings.Repeat("a", 600), strings.Repeat("b", 600)}
	for name, fate := range map[string]Fate{"passed": Passed, "kept": Kept, "read": KeptRead, "JSON": KeptJSON, "weighed": Weighed} {
		for size, writes := range map[string][]string{"nothing": nil, "a byte": {"1"}, "small": small, "too large": large, "JSON": {`{"a":`, `1}`}} {
			for end, finish := range map[string]func(*recorder){
				"used, then ended":      func(rec *recorder) { _, _ = responseOf(rec); rec.leave(); rec.forget() },
				"ended":                 func(rec *recorder) { rec.close(); rec.leave(); rec.forget(); rec.forget() },
				"forgotten, then ended": func(rec *recorder) { rec.forget(); rec.leave() },
				"taken back": func(rec *recorder) {
					rec.loan.end()
					rec.forget()
					_, _ = rec.Write([]byte("more"))
					rec.leave()
				},
			} {
				h := newHouse()
				rec := h.begin(fate, limit, writes...)
				finish(rec)
				h.wantEmpty(t, fmt.Sprintf("%s, %s, %s", name, size, end))
			}
		}
	}
}

func TestAnswerThatIsTakenBackIsDroppedBeforeTheHandlersEnd(t *testing.T) {
	for _, fate := range []Fate{Kept, KeptRead, KeptJSON} {
		h := newHouse()
		rec := h.begin(fate, 1000, `{"a":`)
		rec.loan.end()
		rec.forget()
		if h.spools == 0 && h.memory.Used() == 0 {
			t.Errorf("fate %d: the handlers may still write what was dropped", fate)
		}
		_, _ = rec.Write([]byte("1}"))
		h.wantEmpty(t, fmt.Sprintf("fate %d", fate))
	}
}

func TestAnswerThatCannotBeKeptIsLost(t *testing.T) {
	broken := errors.New("the disk is full")
	for name, c := range map[string]struct {
		fate Fate
		want error
	}{
		"passed": {Passed, broken}, "kept": {Kept, broken}, "read": {KeptRead, memory.ErrBusy}, "JSON": {KeptJSON, memory.ErrBusy},
	} {
		h := newHouse()
		h.broken = broken
		h.memory.SetLimits(100, 100)
		rec := h.begin(c.fate, 5000, `{"a":"`, strings.Repeat("x", 1000), `"}`)
		if _, err := responseOf(rec); !errors.Is(err, c.want) || !errors.Is(rec.kept.lost, c.want) {
			t.Errorf("%s: %v and %v, want %v", name, err, rec.kept.lost, c.want)
		}
		if told := isClosed(rec.ready); told != (c.fate == KeptJSON) {
			t.Errorf("%s: ready is %v", name, told)
		}
		h.wantEmpty(t, name)
	}
	// One that can be looked into, and not be kept.
	h := newHouse()
	h.broken = broken
	rec := h.begin(KeptRead, 5000, "body")
	if _, err := responseOf(rec); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	h.wantEmpty(t, "in the end")
}

func TestAnswerThatIsWeighedWithoutMemoryIsDecidedOnWithoutItsBody(t *testing.T) {
	for name, fate := range map[string]Fate{"passed": Passed, "kept": Kept} {
		h := newHouse()
		h.memory.SetLimits(600, 600)
		w := newClient()
		rec := newRecorder(w, 5000)
		var told *Answer
		rec.room = h.room(5000, 0)
		rec.room.Passed = 5000
		rec.judge = judge{head: func(int) Fate { return Weighed }, body: func(a *Answer) Fate { told = a; return fate }}
		rec.WriteHeader(http.StatusOK)
		body := `{"a":"` + strings.Repeat("x", 1000) + `"}`
		_, _ = rec.Write([]byte(body[:10]))
		_, _ = rec.Write([]byte(body[10:]))
		if told == nil || !errors.Is(told.Lost, memory.ErrBusy) || told.Body != nil {
			t.Errorf("%s: the judge was told %+v", name, told)
		}
		got, err := responseOf(rec)
		switch {
		case fate == Passed && (w.body.String() != body || err != nil || string(got.Body.Data) != body):
			t.Errorf("%s: the client saw %q, kept is %+v, %v", name, w.body.String(), got, err)
		case fate == Kept && (w.body.Len() != 0 || !errors.Is(err, memory.ErrBusy)):
			t.Errorf("%s: the client saw %q, %v", name, w.body.String(), err)
		}
		rec.forget()
		rec.leave()
		h.wantEmpty(t, name)
	}
}
