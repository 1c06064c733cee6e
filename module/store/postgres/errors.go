package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-callback/caddy-callback/module/store"
)

// Errors of single writes.
var (
	// errOutrun: another write to the callback was faster.
	errOutrun = errors.New("somebody else was faster")
	// errFenced: this node was given up, and is another one by now.
	errFenced = errors.New("this node was given up by the others")
)

// Codes of PostgreSQL's errors.
const (
	codeProtocol      = "08P01"
	codeDiskFull      = "53100"
	codeForeignKey    = "23503"
	codeNoPrivilege   = "42501"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeLockTimeout   = "55P03"
)

// refused returns the error with which the server has refused a statement, nil if it is
// another one: then it may be unknown what became of the statement.
func refused(err error) *pgconn.PgError {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Severity == "FATAL" || e.Severity == "PANIC" {
		return nil
	}
	return e
}

// isCode reports whether the server refused with one of these codes.
func isCode(err error, codes ...string) bool {
	e := refused(err)
	if e == nil {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}

// wrap returns the store's error for one of the database. It leaves out details, which may
// contain data.
func (s *Store) wrap(ctx context.Context, err error) error {
	switch e, ok := errors.AsType[*pgconn.PgError](err); {
	case err == nil:
		return nil
	case s.closed.Load():
		return store.ErrClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case isStoreError(err):
		return err
	case ok && e.Code == codeDiskFull:
		return store.ErrFull
	case ok:
		return fmt.Errorf("%w: PostgreSQL refuses: %s (SQLSTATE %s)", store.ErrFailed, e.Message, e.Code)
	}
	return fmt.Errorf("%w: %w", store.ErrFailed, err)
}

// isStoreError reports whether an error is one of those that every store returns.
func isStoreError(err error) bool {
	for _, known := range []error{store.ErrNotFound, store.ErrFull, store.ErrFailed, store.ErrClosed, store.ErrTooLarge, store.ErrExists, store.ErrRemoved, store.ErrDamaged} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
