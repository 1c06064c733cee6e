package archive

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// readSeeker is an archive, which is read twice.
type readSeeker interface {
	io.Reader
	io.Seeker
}

// Imported says what an import has done.
type Imported struct {
	Counts
	// Already is how many callbacks were in the store before.
	Already int `json:"already"`
}

// Import puts what is in an archive into a store. Nothing is changed unless the archive is
// whole and the store can take it. If Import is interrupted, it can be repeated: what is there
// already is left alone. Nothing else must use the store meanwhile.
func Import(ctx context.Context, s store.Movable, from readSeeker) (Imported, error) {
	if err := beAlone(ctx, s); err != nil {
		return Imported{}, err
	}
	if err := s.Ready(); err != nil {
		return Imported{}, err
	}
	checked, err := check(ctx, s, from)
	if err != nil {
		return Imported{}, err
	}
	if err := s.Keep(ctx, checked.kept(), checked.marks()); err != nil {
		return Imported{}, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return Imported{}, err
	}
	i := &importer{ctx: ctx, s: s, empty: checked.empty}
	err = walk(from, i)
	if err == nil {
		err = i.flush()
	}
	i.dropBodies()
	return i.done, err
}

// importer puts what it is shown into a store.
type importer struct {
	ctx   context.Context
	s     store.Movable
	empty bool
	done  Imported
	// skips says that the callback which is read is there already.
	skips bool
	// writer stores the body that is read, and moved has the bodies of the callback that are
	// stored, by the names of their files in the archive.
	writer store.BodyWriter
	moved  map[string]callback.Body
	// group are callbacks that are to be created together, and bytes is how large they are.
	group []*callback.Record
	bytes int
}

// The largest number of callbacks that are created together, and of their bytes.
const (
	maxGroup      = 256
	maxGroupBytes = 4 << 20
)

func (*importer) head(head) error { return nil }

func (i *importer) policy(p *callback.Policy) error {
	i.done.Policies++
	return i.s.PutPolicy(i.ctx, p)
}

func (i *importer) callback(r *callback.Record, _ bool) (err error) {
	if err := i.ctx.Err(); err != nil {
		return err
	}
	i.moved, i.skips = make(map[string]callback.Body), false
	if !i.empty {
		i.skips, err = isThere(i.ctx, i.s, r)
	}
	return err
}

func (i *importer) piece(_ *callback.Body, content []byte) error {
	if i.skips {
		return nil
	}
	if err := i.open(); err != nil {
		return err
	}
	_, err := i.writer.Write(content)
	return err
}

// open begins a body, unless that was done.
func (i *importer) open() (err error) {
	if i.writer == nil {
		i.writer, err = i.s.NewBody(i.ctx)
	}
	return err
}

func (i *importer) body(b *callback.Body) error {
	if i.skips {
		return nil
	}
	// One without bytes has no pieces.
	if err := i.open(); err != nil {
		return err
	}
	stored, err := i.writer.Commit()
	i.writer = nil
	if err != nil {
		return err
	}
	i.moved[b.File] = stored
	if stored.Size != b.Size || stored.Sum != b.Sum {
		return fmt.Errorf("%w: a body was not stored as it is", store.ErrFailed)
	}
	i.done.Bodies++
	i.done.Bytes += b.Size
	return nil
}

func (i *importer) complete(r *callback.Record) error {
	if i.skips {
		i.done.Already++
		return nil
	}
	leaveNodes(r)
	for _, b := range r.Bodies() {
		if b.File != "" {
			b.File = i.moved[b.File].File
		}
	}
	i.moved = nil
	i.group = append(i.group, r)
	if i.bytes += r.Size(); len(i.group) < maxGroup && i.bytes < maxGroupBytes {
		return nil
	}
	return i.flush()
}

// flush creates the callbacks of the group, at once: a store commits together what comes
// together.
func (i *importer) flush() error {
	errs := make([]error, len(i.group))
	var all sync.WaitGroup
	for n, r := range i.group {
		all.Go(func() { errs[n] = i.create(r) })
	}
	all.Wait()
	i.group, i.bytes = nil, 0
	var failed error
	for _, err := range errs {
		if err == nil {
			i.done.Callbacks++
		} else {
			failed = err
		}
	}
	return failed
}

// create creates a callback, and waits until it is committed.
func (i *importer) create(r *callback.Record) error {
	commit, err := i.s.Create(i.ctx, r)
	if err == nil {
		err = store.Wait(i.ctx, commit)
	}
	if err != nil {
		i.drop(r)
		return fmt.Errorf("callback %s: %w", r.ID, err)
	}
	return nil
}

// drop removes the bodies of a callback that was not created.
func (i *importer) drop(r *callback.Record) {
	for _, b := range files(r) {
		i.s.DropBody(i.ctx, *b)
	}
}

// dropBodies removes what is left of an import that was broken off.
func (i *importer) dropBodies() {
	i.ctx = context.WithoutCancel(i.ctx)
	if i.writer != nil {
		i.writer.Abort()
	}
	for _, b := range i.moved {
		i.s.DropBody(i.ctx, b)
	}
	for _, r := range i.group {
		i.drop(r)
	}
}
