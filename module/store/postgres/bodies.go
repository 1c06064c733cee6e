package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// abandonedAfter is how long a body stays to which no record has come to refer, and readableFor how
// long one that was replaced can be read by whoever has opened it.
const (
	abandonedAfter = time.Hour
	readableFor    = time.Minute
)

// PutBody implements store.Store.
func (s *Store) PutBody(ctx context.Context, data []byte) (callback.Body, error) {
	w, err := s.NewBody(ctx)
	for rest := data; err == nil && len(rest) > 0; {
		piece := rest[:min(len(rest), store.BodyPiece)]
		rest = rest[len(piece):]
		_, err = w.Write(piece)
	}
	if err != nil {
		if w != nil {
			w.Abort()
		}
		return callback.Body{}, err
	}
	body, err := w.Commit()
	if err == nil {
		body.Data = data
	}
	return body, err
}

// NewBody implements store.Store.
func (s *Store) NewBody(context.Context) (store.BodyWriter, error) {
	w := &bodyWriter{s: s, file: callback.NewUUID(), whole: sha256.New()}
	if err := w.exec(`INSERT INTO @bodies (file) VALUES ($1)`); err != nil {
		return nil, err
	}
	return w, nil
}

// bodyWriter writes a body piece by piece. Nobody can open it before it is whole.
type bodyWriter struct {
	s     *Store
	file  callback.UUID
	whole hash.Hash
	size  int64
	piece int32
	// short says that the last piece has come.
	short bool
	err   error
}

// exec gives a statement about the body to the database.
func (w *bodyWriter) exec(statement string, args ...any) error {
	ctx, cancel, err := w.s.reading(context.Background())
	if err != nil {
		return err
	}
	defer cancel()
	tag, err := w.s.pool.Exec(ctx, w.s.sql(statement), append([]any{[16]byte(w.file)}, args...)...)
	if err != nil {
		return w.s.wrap(ctx, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("%w: the body was removed while it was written", store.ErrFailed)
	}
	return nil
}

// Write implements store.BodyWriter.
func (w *bodyWriter) Write(piece []byte) (int, error) {
	if w.err == nil && (w.short || len(piece) > store.BodyPiece) {
		w.err = fmt.Errorf("a piece of %d bytes does not fit", len(piece))
	}
	if w.err != nil {
		return 0, w.err
	}
	w.short = len(piece) < store.BodyPiece
	w.whole.Write(piece)
	w.size += int64(len(piece))
	stored := w.s.keys.seal("piece", placeOf(w.file, w.piece), piece)
	sum := pieceSum(w.file, w.piece, stored)
	w.err = w.exec(`INSERT INTO @pieces (file, piece, sum, content) VALUES ($1, $2, $3, $4)`, w.piece, sum[:], stored)
	w.piece++
	return len(piece), w.err
}

// placeOf returns the place of a piece.
func placeOf(file callback.UUID, number int32) []byte {
	return binary.BigEndian.AppendUint32(file[:], uint32(number))
}

// wholeSum returns what is stored of a body's sum. That of an encrypted one tells nothing about
// the body.
func (s *Store) wholeSum(file callback.UUID, sum callback.Digest) []byte {
	if s.keys == nil {
		return sum[:]
	}
	return s.keys.seal("sum", file[:], sum[:])
}

// isWholeSum reports whether a sum is the one of which that is stored.
func (s *Store) isWholeSum(file callback.UUID, sum callback.Digest, stored []byte) bool {
	b, err := s.keys.open(nil, "sum", file[:], stored)
	return err == nil && bytes.Equal(b, sum[:])
}

// pieceSum returns the sum of a piece, which is that of no other place.
func pieceSum(file callback.UUID, number int32, piece []byte) (sum callback.Digest) {
	h := sha256.New()
	h.Write(placeOf(file, number))
	h.Write(piece)
	h.Sum(sum[:0])
	return sum
}

// Commit implements store.BodyWriter.
func (w *bodyWriter) Commit() (callback.Body, error) {
	body := callback.Body{File: w.file.String(), Size: w.size}
	w.whole.Sum(body.Sum[:0])
	if w.err == nil {
		w.err = w.exec(`UPDATE @bodies SET size = $2, sum = $3, made = clock_timestamp() WHERE file = $1`, body.Size, w.s.wholeSum(w.file, body.Sum))
	}
	if w.err != nil {
		w.Abort()
		return callback.Body{}, w.err
	}
	return body, nil
}

// Abort implements store.BodyWriter.
func (w *bodyWriter) Abort() {
	_ = w.exec(`DELETE FROM @bodies WHERE file = $1 AND callback IS NULL`)
	w.err = errors.Join(w.err, errors.New("the body was given up"))
}

// DropBody implements store.Store.
func (s *Store) DropBody(ctx context.Context, b callback.Body) {
	file, ok := callback.ParseUUID(b.File)
	if !ok || s.lane.doubts(file) {
		return
	}
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return
	}
	defer cancel()
	_, _ = s.pool.Exec(ctx, s.sql(`DELETE FROM @bodies WHERE file = $1 AND callback IS NULL`), [16]byte(file))
}

// forgetBodies removes the bodies that nobody has come to refer to, and those that were replaced.
func (s *Store) forgetBodies(ctx context.Context) error {
	for {
		n, err := s.forgetSomeBodies(ctx, forgetBytes)
		if n == 0 || err != nil {
			return err
		}
	}
}

// forgetSomeBodies is forgetBodies for so many bytes, or a little more. A body that is committed
// while it waits for the row is looked at again, by the outer condition alone.
func (s *Store) forgetSomeBodies(ctx context.Context, most int64) (n int64, err error) {
	tag, err := s.pool.Exec(ctx, s.sql(`DELETE FROM @bodies WHERE (callback IS NULL AND made < clock_timestamp() - $1::bigint * interval '1 millisecond'
			OR callback IS NOT NULL AND sum IS NULL) AND file IN (SELECT file FROM (
			SELECT file, sum(size) OVER (ORDER BY made, file) - size AS before FROM (
				SELECT b.file, b.made, coalesce(b.size, (SELECT count(*) * $3 FROM @pieces p WHERE p.file = b.file)) AS size FROM @bodies b
				WHERE b.callback IS NULL AND b.made < clock_timestamp() - $1::bigint * interval '1 millisecond'
				OR b.callback IS NOT NULL AND b.sum IS NULL AND b.made < clock_timestamp() - $4::bigint * interval '1 millisecond' ORDER BY b.made LIMIT 1000) s) o
			WHERE before < $2)`), abandonedAfter.Milliseconds(), most, int64(store.BodyPiece), readableFor.Milliseconds())
	return tag.RowsAffected(), err
}
