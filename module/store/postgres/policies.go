package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// policies are those that this process has stored or found. The table uses says so, so that no
// other node removes them.
type policies struct {
	mu    sync.RWMutex
	known map[callback.Digest]*callback.Policy
}

func (p *policies) find(hash callback.Digest) *callback.Policy {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.known[hash]
}

func (p *policies) add(hash callback.Digest, policy *callback.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[callback.Digest]*callback.Policy)
	}
	p.known[hash] = policy
}

// executor is what statements can be given to.
type executor interface {
	querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// use stores a policy, unless it is there, and notes that a node uses it.
func (s *Store) use(ctx context.Context, db executor, node int64, p *callback.Policy) error {
	b, err := p.Encode()
	if err != nil {
		return err
	}
	hash := p.Hash()
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql(`INSERT INTO @policies (hash, policy) VALUES ($1, $2) ON CONFLICT DO NOTHING`), hash[:], s.keys.seal("policy", hash[:], b)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, s.sql(`INSERT INTO @uses (node, hash) VALUES ($1, $2) ON CONFLICT DO NOTHING`), node, hash[:])
		return err
	})
}

// useAll is use for all policies that this process knows.
func (s *Store) useAll(ctx context.Context, tx pgx.Tx, node int64) error {
	s.policies.mu.RLock()
	defer s.policies.mu.RUnlock()
	for _, p := range s.policies.known {
		if err := s.use(ctx, tx, node, p); err != nil {
			return err
		}
	}
	return nil
}

// tries is how often something is tried that meets others.
const tries = 5

// PutPolicy implements store.Store.
func (s *Store) PutPolicy(ctx context.Context, p *callback.Policy) error {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if s.policies.find(p.Hash()) != nil {
		return nil
	}
	for {
		node := s.Node()
		if err := s.tryUse(ctx, p); err != nil {
			return s.wrap(ctx, err)
		}
		s.policies.add(p.Hash(), p)
		if s.joined() == node {
			return nil
		}
	}
}

// tryUse is use for the node that this process is. The node, or the policy, may go in the same
// moment.
func (s *Store) tryUse(ctx context.Context, p *callback.Policy) (err error) {
	for range tries {
		if err = s.use(ctx, s.pool, int64(s.Node()), p); !isCode(err, codeForeignKey, codeDeadlock) {
			break
		}
		_ = s.heartbeat(ctx)
	}
	return err
}

// joined returns the node that this process is when it is not becoming another one. That one uses
// all policies that were known when it joined.
func (s *Store) joined() callback.Node {
	s.members.joining.Lock()
	defer s.members.joining.Unlock()
	return s.Node()
}

// Policy implements store.Store.
func (s *Store) Policy(ctx context.Context, hash callback.Digest) (*callback.Policy, error) {
	ctx, cancel, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if p := s.policies.find(hash); p != nil {
		return p, nil
	}
	var b []byte
	err = s.pool.QueryRow(ctx, s.sql(`SELECT policy FROM @policies WHERE hash = $1`), hash[:]).Scan(&b)
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	if b, err = s.keys.open(nil, "policy", hash[:], b); err != nil {
		return nil, err
	}
	p, err := callback.DecodePolicy(b)
	if err != nil || p.Hash() != hash {
		return nil, fmt.Errorf("%w: a policy does not match its hash", store.ErrDamaged)
	}
	if err := s.PutPolicy(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// forgetPolicies removes the policies that no callback needs and no node uses. One that is used
// from now on is refused by its reference, or its user waits and stores it again.
func (s *Store) forgetPolicies(ctx context.Context) error {
	const unneeded = `SELECT ARRAY(SELECT hash FROM @policies p WHERE NOT EXISTS (SELECT 1 FROM @uses u WHERE u.hash = p.hash)
		EXCEPT SELECT policy FROM @callbacks)`
	var hashes [][]byte
	if err := s.patiently(ctx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, s.sql(unneeded)).Scan(&hashes) }); err != nil {
		return err
	}
	for _, hash := range hashes {
		// Between the two statements it can have come to be used, and to be needed.
		err := s.patiently(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, s.sql(`DELETE FROM @policies p WHERE hash = $1
				AND NOT EXISTS (SELECT 1 FROM @uses u WHERE u.hash = p.hash) AND NOT EXISTS (SELECT 1 FROM @callbacks c WHERE c.policy = p.hash)`), hash)
			return err
		})
		if err != nil && !isCode(err, codeForeignKey) {
			return err
		}
	}
	return nil
}

// patiently runs a transaction in which all callbacks are looked at, and that can take long.
func (s *Store) patiently(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = '50s'`); err != nil {
			return err
		}
		return do(tx)
	})
}
