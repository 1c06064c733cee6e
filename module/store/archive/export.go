package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Export writes everything that is in a store. Nothing else must use the store meanwhile.
func Export(ctx context.Context, s store.Movable, to io.Writer) (Counts, error) {
	e := &exporter{s: s, w: newWriter(to), policies: make(map[callback.Digest]bool)}
	e.memory.SetLimits(roomForBodies, roomForBodies)
	err := e.run(ctx)
	return e.counts, err
}

// roomForBodies is how much memory reading a body can take, in bytes: one piece is read at a
// time.
const roomForBodies = 1 << 20

type exporter struct {
	s      store.Movable
	w      *writer
	counts Counts
	// policies are those that are written.
	policies map[callback.Digest]bool
	memory   memory.Pool
}

func (e *exporter) run(ctx context.Context) error {
	if err := beAlone(ctx, e.s); err != nil {
		return err
	}
	if err := e.s.Verify(ctx); err != nil {
		return err
	}
	own, err := e.s.OwnSecrets(ctx)
	if err != nil {
		return err
	}
	h := head{Release: store.ThisNode().Release, Store: e.s.ID()}
	for _, secret := range own {
		h.Secrets = append(h.Secrets, secret[:])
	}
	e.w.put([]byte(title))
	if err := e.w.document(headFrame, h); err != nil {
		return err
	}
	if err := e.callbacks(ctx); err != nil {
		return err
	}
	if err := e.w.document(endFrame, e.counts); err != nil {
		return err
	}
	if err := e.w.end(); err != nil {
		return err
	}
	// One that has joined meanwhile may have changed what was written before.
	return beAlone(ctx, e.s)
}

// callbacks writes all callbacks, page by page.
func (e *exporter) callbacks(ctx context.Context) error {
	for q := (store.Query{}); ; {
		page, next, err := e.s.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page {
			if err := e.callback(ctx, r); err != nil {
				return fmt.Errorf("callback %s: %w", r.ID, err)
			}
		}
		if next == (store.Cursor{}) {
			return nil
		}
		q.After = next
	}
}

// callback writes a callback, with what it needs.
func (e *exporter) callback(ctx context.Context, found *callback.Record) error {
	if err := e.policy(ctx, found.Policy); err != nil {
		return err
	}
	r := *found
	leaveNodes(&r)
	b, err := store.EncodeRecord(&r)
	if err != nil {
		return err
	}
	known := byte(0)
	if e.s.SecretOf(&r) != nil {
		known = 1
	}
	if err := e.w.frame(recordFrame, []byte{known}, b); err != nil {
		return err
	}
	e.counts.Callbacks++
	for _, body := range files(&r) {
		if err := e.body(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// policy writes a policy, unless it is written.
func (e *exporter) policy(ctx context.Context, hash callback.Digest) error {
	if e.policies[hash] {
		return nil
	}
	p, err := e.s.Policy(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: there is no policy that it is judged by", store.ErrDamaged)
	}
	if err != nil {
		return err
	}
	b, err := p.Encode()
	if err != nil {
		return err
	}
	e.policies[hash] = true
	e.counts.Policies++
	return e.w.frame(policyFrame, b)
}

// body writes a body, piece by piece.
func (e *exporter) body(ctx context.Context, b *callback.Body) error {
	content, err := e.s.OpenBody(ctx, *b, e.memory.For(memory.Nobody))
	if err != nil {
		return fmt.Errorf("a body of it: %w", err)
	}
	defer func() { _ = content.Close() }()
	piece := make([]byte, store.BodyPiece)
	for left := b.Size; left > 0; {
		piece = piece[:min(left, store.BodyPiece)]
		if _, err := io.ReadFull(content, piece); err != nil {
			return fmt.Errorf("a body of it: %w", err)
		}
		if err := e.w.frame(pieceFrame, piece); err != nil {
			return err
		}
		left -= int64(len(piece))
	}
	e.counts.Bodies++
	e.counts.Bytes += b.Size
	return nil
}
