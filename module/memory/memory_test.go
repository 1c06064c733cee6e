package memory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func newPool(bytes, largest int64) *Pool {
	p := new(Pool)
	p.SetLimits(bytes, largest)
	return p
}

// wantUsed checks how many bytes are taken.
func wantUsed(t *testing.T, p *Pool, when string, least, most int64) {
	t.Helper()
	if n := p.Used(); n < least || n > most {
		t.Errorf("%s: %d bytes are taken, want %d to %d", when, n, least, most)
	}
}

// wantNothing checks that nothing is taken, by anybody.
func wantNothing(t *testing.T, p *Pool) {
	t.Helper()
	wantUsed(t, p, "in the end", 0, 0)
	for i := range p.owners {
		if n := p.owners[i].Load(); n != 0 {
			t.Errorf("an owner still has %d bytes", n)
		}
	}
	if small, large := p.small.used.Load(), p.large.used.Load(); small != 0 || large != 0 {
		t.Errorf("strangers still have %d and %d bytes", small, large)
	}
}

func of(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }

func TestBodyIsReadUnderALease(t *testing.T) {
	const limit = 100_000
	for _, tc := range []struct {
		name   string
		body   io.Reader
		length int64
		want   int
		err    error
	}{
		{"none", nil, 0, 0, nil},
		{"empty, of unknown length", of(0), -1, 0, nil},
		{"small", of(10), 10, 10, nil},
		{"as large as the first bytes", of(firstBytes), firstBytes, firstBytes, nil},
		{"the same, of unknown length", of(firstBytes), -1, firstBytes, nil},
		{"one more", of(firstBytes + 1), firstBytes + 1, firstBytes + 1, nil},
		{"of unknown length", of(50_000), -1, 50_000, nil},
		{"as large as allowed", of(limit), limit, limit, nil},
		{"as large as allowed, of unknown length", of(limit), -1, limit, nil},
		{"one byte at a time", iotest.OneByteReader(of(20_000)), -1, 20_000, nil},
		{"with its end", iotest.DataErrReader(of(20_000)), 20_000, 20_000, nil},
		{"announced too large", of(0), limit + 1, 0, ErrTooLarge},
		{"too large, of unknown length", of(limit + 1), -1, 0, ErrTooLarge},
		{"broken", io.MultiReader(of(20_000), iotest.ErrReader(io.ErrUnexpectedEOF)), 30_000, 0, ErrCutShort},
		{"late", io.MultiReader(of(20_000), iotest.ErrReader(fmt.Errorf("read: %w", os.ErrDeadlineExceeded))), 30_000, 0, ErrTooSlow},
	} {
		for kind, space := range map[string]func(*Pool) Space{
			"of an owner":    func(p *Pool) Space { return p.For(OwnerOf("somebody")) },
			"of nobody":      func(p *Pool) Space { return p.For(Nobody) },
			"of one unknown": (*Pool).Blind,
		} {
			if s, ok := tc.body.(io.Seeker); ok {
				_, _ = s.Seek(0, io.SeekStart)
			} else if kind != "of an owner" {
				continue
			}
			p := newPool(1<<20, limit)
			b, err := space(p).Read(tc.body, tc.length, limit)
			if len(b.Bytes()) != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s, %s: %d bytes, %v", tc.name, kind, len(b.Bytes()), err)
			}
			wantUsed(t, p, tc.name, int64(cap(b.Bytes())), 1<<20)
			b.Retain()
			b.Release()
			b.Release()
			wantNothing(t, p)
		}
	}
}

// trickle is a body that calls told with how many bytes came before each read.
type trickle struct {
	rest int
	came int64
	told func(came int64)
}

func (r *trickle) Read(b []byte) (int, error) {
	r.told(r.came)
	if r.rest == 0 {
		return 0, io.EOF
	}
	n := min(len(b), r.rest, 100)
	r.rest -= n
	r.came += int64(n)
	return n, nil
}

func TestMemoryIsTakenAsBytesComeNotAsTheyAreAnnounced(t *testing.T) {
	const huge = 1 << 30
	for _, length := range []int64{-1, 300_000, huge} {
		p := newPool(huge, huge)
		body := &trickle{rest: 300_000, told: func(came int64) {
			most := max(8*came, firstBytes)
			if came > 32<<10 {
				most = 2 * came
			}
			if came == 0 {
				most = 0
			}
			wantUsed(t, p, fmt.Sprintf("%d bytes of %d have come", came, length), came, most)
		}}
		b, err := p.For(OwnerOf("somebody")).Read(body, length, huge)
		if err != nil || len(b.Bytes()) != 300_000 {
			t.Fatalf("%d bytes, %v", len(b.Bytes()), err)
		}
		b.Release()
		wantNothing(t, p)
	}
}

func TestMemoryIsShared(t *testing.T) {
	p := newPool(100<<10, 100<<10)
	read := func(owner Owner) (*Buffer, error) { return p.For(owner).Read(of(60<<10), 60<<10, 1<<20) }
	first, err := read(OwnerOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(OwnerOf(2)); !errors.Is(err, ErrBusy) {
		t.Errorf("a second body: %v, want ErrBusy", err)
	}
	first.Retain()
	first.Release()
	if _, err := read(Nobody); !errors.Is(err, ErrBusy) {
		t.Errorf("while somebody uses the first: %v, want ErrBusy", err)
	}
	first.Release()
	second, err := read(OwnerOf(2))
	if err != nil {
		t.Errorf("after it: %v", err)
	}
	second.Release()
	wantNothing(t, p)
}

// apartFrom returns an owner that is counted apart from another one.
func apartFrom(p *Pool, o Owner) Owner {
	for i := 0; ; i++ {
		if other := OwnerOf(i); p.For(other).had() != p.For(o).had() {
			return other
		}
	}
}

func TestOneOwnerHasAQuarterAtMostOrOneBody(t *testing.T) {
	for _, tc := range []struct{ largest, share int64 }{{100, 25_000}, {60_000, 60_000}} {
		p := newPool(100_000, tc.largest)
		mine, other := p.For(OwnerOf("mine")), p.For(apartFrom(p, OwnerOf("mine")))
		lease, err := mine.Reserve(tc.share)
		if err != nil {
			t.Fatalf("all of the share: %v", err)
		}
		if _, err := mine.Reserve(1); !errors.Is(err, ErrBusy) {
			t.Errorf("one byte more: %v, want ErrBusy", err)
		}
		if _, err := p.For(OwnerOf("mine")).Read(of(1), 1, 1); !errors.Is(err, ErrBusy) {
			t.Errorf("the same owner again: %v, want ErrBusy", err)
		}
		others, err := other.Reserve(100_000 - tc.share)
		if tc.largest == 100 {
			others, err = p.For(Nobody).Reserve(100_000 - tc.share)
		} else if err != nil {
			t.Errorf("another owner: %v", err)
		}
		if err != nil {
			t.Errorf("the rest: %v", err)
		}
		lease.Release()
		others.Release()
		wantNothing(t, p)
	}
}

func TestStrangersExhaustTheirMemoryAlone(t *testing.T) {
	p := newPool(8<<20, 1<<20)
	var taken []*Buffer
	fill := func(size int) (n int) {
		for {
			b, err := p.Blind().Read(of(size), int64(size), 1<<20)
			if err != nil {
				if !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
				return n
			}
			taken = append(taken, b)
			n++
		}
	}
	if n := fill(200_000); n != 5 {
		t.Errorf("%d large bodies were read, want 5", n)
	}
	if n := fill(60_000); n != 17 {
		t.Errorf("beside them %d small bodies were read, want 17", n)
	}
	rest, err := p.For(Nobody).Reserve(6 << 20)
	if err != nil {
		t.Errorf("others: %v", err)
	}
	rest.Release()
	for _, b := range taken {
		b.Release()
	}
	wantNothing(t, p)
}

func TestBufferIsFilledUnderALease(t *testing.T) {
	p := newPool(100_000, 100_000)
	b := p.For(Nobody).NewBuffer()
	wantUsed(t, p, "empty", 0, 0)
	var want []byte
	for i := range 300 {
		piece := bytes.Repeat([]byte{byte(i)}, i)
		if err := b.Append(piece, 50_000); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece...)
		wantUsed(t, p, "filled", int64(cap(b.Bytes())), 50_000)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("the content is another")
	}
	if err := b.Append(make([]byte, 50_001-len(want)), 50_000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over its limit: %v", err)
	}
	if err := b.Append(make([]byte, 60_000), 120_000); !errors.Is(err, ErrBusy) {
		t.Errorf("over the memory: %v", err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("what could not be added has changed the content")
	}
	b.Reset()
	if err := b.Append(want, 50_000); err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("after it was emptied: %v", err)
	}
	b.Release()
	wantNothing(t, p)
}

func TestMemoryThatIsReservedIsThere(t *testing.T) {
	p := newPool(1000, 1000)
	b := p.For(Nobody).NewBuffer()
	if err := b.Reserve(1000); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(make([]byte, 10), 1000); err != nil {
		t.Error(err)
	}
	if cap(b.Bytes()) > firstBytes {
		t.Errorf("%d bytes are allocated for 10", cap(b.Bytes()))
	}
	if err := b.Append(make([]byte, 990), 1000); err != nil {
		t.Error(err)
	}
	b.Release()
	wantNothing(t, p)
}

func TestContentIsEditedUnderALease(t *testing.T) {
	broken := errors.New("it cannot be edited")
	for name, c := range map[string]struct {
		before, grow, after int
		err, want           error
	}{
		"longer":            {400, 100, 450, nil, nil},
		"shorter":           {400, 0, 10, nil, nil},
		"of nothing":        {0, 100, 50, nil, nil},
		"to nothing":        {400, 0, 0, nil, nil},
		"beyond its room":   {400, 0, 500, nil, nil},
		"beyond the memory": {400, 0, 2001, nil, ErrBusy},
		"without memory":    {1100, 0, 1100, nil, ErrBusy},
		"not at all":        {400, 100, 450, broken, broken},
	} {
		p := newPool(2000, 2000)
		b, err := p.For(OwnerOf(1)).Read(of(c.before), int64(c.before), 2000)
		if err != nil {
			t.Fatal(err)
		}
		before := p.Used()
		edited, err := p.For(Nobody).Edit(b, c.grow, func(room, content []byte) ([]byte, error) {
			if want := before + int64(c.before+c.grow); p.Used() != want {
				t.Errorf("%s: %d bytes are taken before the copy is made, want %d", name, p.Used(), want)
			}
			if len(content) != c.before || len(room) != 0 || cap(room) < c.before+c.grow {
				t.Errorf("%s: %d bytes with room for %d", name, len(content), cap(room))
			}
			return append(room, make([]byte, c.after)...), c.err
		})
		if !errors.Is(err, c.want) || (edited == nil) != (c.want != nil) || len(b.Bytes()) != c.before {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil {
			wantUsed(t, p, name, before+int64(cap(edited.Bytes())), before+int64(cap(edited.Bytes())))
			if len(edited.Bytes()) != c.after {
				t.Errorf("%s: %d bytes", name, len(edited.Bytes()))
			}
		} else {
			wantUsed(t, p, name, before, before)
		}
		edited.Release()
		b.Release()
		wantNothing(t, p)
	}
}

func TestWhatIsThereAlreadyIsCountedInAnyCase(t *testing.T) {
	p := newPool(100, 100)
	l := p.For(OwnerOf(1)).Count(1000)
	b, err := p.For(OwnerOf(1)).Forced().Read(of(2000), -1, 2000)
	if err != nil || len(b.Bytes()) != 2000 {
		t.Errorf("what cannot be refused: %v", err)
	}
	wantUsed(t, p, "forced", 3000, 4000)
	b.Release()
	if _, err := p.For(OwnerOf(2)).Reserve(1); !errors.Is(err, ErrBusy) {
		t.Errorf("beside it: %v", err)
	}
	l.Release()
	wantNothing(t, p)
}

func TestFirstBytesAreTakenInAnyCase(t *testing.T) {
	p := newPool(1000, 1000)
	full := p.For(OwnerOf(1)).Count(1000)
	for size, want := range map[int]error{0: nil, 600: nil, 2000: nil, 2001: ErrBusy, 9000: ErrBusy} {
		b, err := p.For(OwnerOf(1)).Sure(2000).Read(of(size), int64(size), 9000)
		if !errors.Is(err, want) || err == nil && len(b.Bytes()) != size {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
		b.Release()
		b = p.For(OwnerOf(1)).Sure(2000).NewBuffer()
		if err = b.Append(make([]byte, size/2), 9000); err == nil {
			err = b.Append(make([]byte, size-size/2), 9000)
		}
		if !errors.Is(err, want) {
			t.Errorf("%d bytes in two parts: %v, want %v", size, err, want)
		}
		b.Release()
		wantUsed(t, p, "in between", 1000, 1000)
	}
	full.Release()
	wantNothing(t, p)
}

func TestManyTakeMemoryAtOnce(t *testing.T) {
	p := newPool(1<<20, 1<<20)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 200 {
				for _, s := range []Space{p.For(OwnerOf(i % 3)), p.Blind()} {
					if b, err := s.Read(of(100_000), -1, 200_000); err == nil {
						b.Release()
					} else if !errors.Is(err, ErrBusy) {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	wantNothing(t, p)
}

// A small body costs one allocation.
func BenchmarkReadSmallBody(b *testing.B) {
	p := newPool(1<<20, 1<<20)
	s, body := p.For(OwnerOf(1)), strings.NewReader("an answer")
	b.ReportAllocs()
	for b.Loop() {
		body.Reset("an answer")
		buffer, err := s.Read(body, body.Size(), 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		buffer.Release()
	}
}
