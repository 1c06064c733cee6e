package quoted_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddy-callback/caddy-callback/module/quoted"
)

func TestABodyThatHasChangedIsNoDocument(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("text ", 100)
	for name, c := range map[string]struct{ first, second string }{
		"longer":                       {"text", "text!"},
		"much longer":                  {"text", long},
		"shorter":                      {"text", "tex"},
		"much shorter":                 {long, "text"},
		"gone":                         {"text", ""},
		"was empty":                    {"", "t"},
		"text no more":                 {"text", "te\xfft"},
		"text no more at the end":      {long, long[1:] + "\xff"},
		"cut in a character":           {"text ä", "text \xc3"},
		"more to escape":               {"text", "te<t"},
		"less to escape":               {"te<t", "text"},
		"base64, longer":               {"\xff", "\xff\xff"},
		"base64, shorter":              {"\xff\xff", "\xff"},
		"base64, longer by a quantum":  {"\xff", long},
		"base64, shorter by a quantum": {"\xff" + long, "\xff"},
	} {
		body := c.first
		open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		d := document(t, open, nil)
		body = c.second
		for _, size := range []int{0, 40, 4096} {
			for way, read := range ways {
				r, err := d.Open(make([]byte, size))
				if err != nil {
					t.Fatal(err)
				}
				got, err := read(r)
				if !errors.Is(err, quoted.ErrChanged) || int64(len(got)) >= d.Size() || json.Valid([]byte(got)) {
					t.Errorf("%s, pieces of %d, %s: got %q and %v", name, size, way, got, err)
				}
				if _, err := r.Read(make([]byte, 9)); !errors.Is(err, quoted.ErrChanged) {
					t.Errorf("%s: then %v", name, err)
				}
			}
		}
	}
}

func TestABodyThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	never := func() (io.ReadCloser, error) { return nil, broken }
	for name, body := range map[string]string{"text": "text", "base64": "\xff\xff\xff\xff"} {
		breaks := opener([]byte(body), func(r io.Reader) io.Reader {
			return io.MultiReader(io.LimitReader(r, 2), iotest.ErrReader(broken))
		})
		stands := opener([]byte(body), func(r io.Reader) io.Reader {
			return io.MultiReader(r, &idle{times: 100})
		})
		for _, open := range []func() (io.ReadCloser, error){never, breaks} {
			if _, err := quoted.Look(open, nil); !errors.Is(err, broken) {
				t.Errorf("%s: to look at it is %v", name, err)
			}
		}
		if _, err := quoted.Look(stands, nil); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%s: to look at one that stands still is %v", name, err)
		}
		open := opener([]byte(body), nil)
		d := document(t, func() (io.ReadCloser, error) { return open() }, nil)
		open = never
		if _, err := d.Open(nil); !errors.Is(err, broken) {
			t.Errorf("%s: to open it is %v", name, err)
		}
		open = breaks
		for way, read := range ways {
			r, err := d.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := read(r); !errors.Is(err, broken) || json.Valid([]byte(got)) {
				t.Errorf("%s, %s: got %q and %v", name, way, got, err)
			}
		}
	}
}

// closer counts how often a body is closed.
type closer struct {
	io.Reader
	closed *int
}

func (c closer) Close() error {
	*c.closed++
	return errors.New("closed")
}

func TestBodiesAreClosed(t *testing.T) {
	t.Parallel()
	closed := 0
	d := document(t, func() (io.ReadCloser, error) { return closer{strings.NewReader("text"), &closed}, nil }, nil)
	if closed != 1 {
		t.Fatalf("closed %d times after the look", closed)
	}
	r, err := d.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err == nil || closed != 2 {
		t.Errorf("closed %d times, with %v", closed, err)
	}
	if err := r.Close(); err != nil || closed != 2 {
		t.Errorf("closed %d times at last, with %v", closed, err)
	}
	if n, err := r.Read(make([]byte, 9)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read %d bytes when it was closed, and %v", n, err)
	}
}

func TestADocumentMayBeClosedWhileItIsRead(t *testing.T) {
	t.Parallel()
	d := document(t, opener(make([]byte, 1<<20), nil), nil)
	for range 20 {
		r, err := d.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		begun, ended := make(chan struct{}), make(chan error)
		go func() {
			_, err := io.CopyN(io.Discard, r, 100)
			close(begun)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			ended <- err
		}()
		<-begun
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	}
}

// narrow is a writer that takes some bytes and then fails, or says nothing of it.
type narrow struct {
	room int
	err  error
}

func (n *narrow) Write(p []byte) (int, error) {
	taken := min(n.room, len(p))
	if n.room -= taken; taken < len(p) {
		return taken, n.err
	}
	return taken, nil
}

func TestAWriterThatFailsEndsTheDocument(t *testing.T) {
	t.Parallel()
	full := errors.New("the disk is full")
	d := document(t, opener([]byte(strings.Repeat("text ", 50)), nil), nil)
	for _, c := range []struct{ said, want error }{{full, full}, {nil, io.ErrShortWrite}} {
		for _, room := range []int{0, 7, 100, int(d.Size()) - 1} {
			r, err := d.Open(make([]byte, 64))
			if err != nil {
				t.Fatal(err)
			}
			n, err := r.(io.WriterTo).WriteTo(&narrow{room: room, err: c.said})
			if n != int64(room) || err != c.want {
				t.Errorf("room for %d bytes: %d, %v", room, n, err)
			}
		}
	}
}
