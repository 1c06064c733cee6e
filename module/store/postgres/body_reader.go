package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/memory"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// errPiece: what is stored of a body is not what was stored.
var errPiece = fmt.Errorf("%w: a body is not what was stored", store.ErrDamaged)

// OpenBody implements store.Store.
func (s *Store) OpenBody(ctx context.Context, b callback.Body, space memory.Space) (io.ReadCloser, error) {
	file, ok := callback.ParseUUID(b.File)
	if !ok {
		return nil, fmt.Errorf("%w: a body has no valid name", store.ErrDamaged)
	}
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	var size int64
	var sum []byte
	err = s.pool.QueryRow(ctx, s.sql(`SELECT size, sum FROM @bodies WHERE file = $1 AND sum IS NOT NULL`), [16]byte(file)).Scan(&size, &sum)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, store.ErrRemoved
	case err != nil:
		return nil, s.wrap(ctx, err)
	case size != b.Size || !s.isWholeSum(file, b.Sum, sum):
		return nil, errPiece
	}
	r := &bodyReader{s: s, file: file, left: b.Size, sum: b.Sum, whole: sha256.New()}
	if r.left == 0 {
		return r, nil
	}
	if r.buffer, err = space.Make(int(min(r.left, store.BodyPiece))); err != nil {
		return nil, err
	}
	if err := r.next(ctx); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// bodyReader reads a body piece by piece. It never yields a byte that was not checked.
type bodyReader struct {
	s      *Store
	file   callback.UUID
	buffer *memory.Buffer
	// piece is what is left of the piece that was read last; left is how much of the body is
	// in further ones, and number the number of the next.
	piece  []byte
	left   int64
	number int32
	whole  hash.Hash
	sum    callback.Digest
	err    error
}

// next reads the next piece, or returns io.EOF after the last.
func (r *bodyReader) next(ctx context.Context) error {
	if r.left == 0 {
		return io.EOF
	}
	raw := r.buffer.Bytes()[:min(r.left, store.BodyPiece)]
	rows, err := r.s.pool.Query(ctx, r.s.sql(`SELECT sum, content FROM @pieces WHERE file = $1 AND piece = $2`), [16]byte(r.file), r.number)
	if err != nil {
		return r.s.wrap(ctx, err)
	}
	defer rows.Close()
	if !rows.Next() {
		rows.Close()
		return r.missing(ctx, rows.Err())
	}
	values := rows.RawValues()
	if want := pieceSum(r.file, r.number, values[1]); string(want[:]) != string(values[0]) || len(values[1]) != len(raw)+r.s.keys.longer() {
		return errPiece
	}
	if _, err := r.s.keys.open(raw[:0], "piece", placeOf(r.file, r.number), values[1]); err != nil {
		return err
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return r.s.wrap(ctx, err)
	}
	r.whole.Write(raw)
	r.left -= int64(len(raw))
	r.number++
	if r.left == 0 && string(r.whole.Sum(nil)) != string(r.sum[:]) {
		return errPiece
	}
	r.piece = raw
	return nil
}

// missing returns why there is no piece: the body was removed meanwhile, or it is damaged.
func (r *bodyReader) missing(ctx context.Context, err error) error {
	there := false
	if err == nil {
		err = r.s.pool.QueryRow(ctx, r.s.sql(`SELECT EXISTS (SELECT 1 FROM @bodies WHERE file = $1)`), [16]byte(r.file)).Scan(&there)
	}
	switch {
	case err != nil:
		return r.s.wrap(ctx, err)
	case there:
		return errPiece
	}
	return store.ErrRemoved
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if r.err == nil && len(r.piece) == 0 {
		r.err = r.advance()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// advance reads the next piece.
func (r *bodyReader) advance() error {
	ctx, cancel, err := r.s.reading(context.Background())
	if err != nil {
		return err
	}
	defer cancel()
	return r.next(ctx)
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	r.buffer.Release()
	r.buffer, r.piece, r.err = nil, nil, os.ErrClosed
	return nil
}
