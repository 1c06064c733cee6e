// Package postgres keeps callbacks in a PostgreSQL database, which several nodes can use at
// the same time.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/outage"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Options say how to open a store.
type Options struct {
	// URL is the connection string.
	URL string
	// Schema is the schema with the store's tables.
	Schema string
	// Direct is the connection string of the database itself, where URL leads to a pooler that
	// shares connections between transactions; empty where it does not.
	Direct string
	// Secrets are those from which callbacks are derived.
	Secrets *callback.Secrets
	// StoredSecret puts a random secret that is kept in the database in their place, and
	// Earlier are those that were used before it.
	StoredSecret bool
	Earlier      []callback.Secret
	// Keys are those with which what is stored is encrypted, the one to encrypt with first.
	// None leaves it unencrypted, which is chosen when the store is created.
	Keys [][]byte
	// Password returns the password whenever the store connects; nil for none.
	Password func() (string, error)
	// Migrate lets the store make its tables, and change those of earlier releases.
	Migrate bool
	// Existing refuses to make a store.
	Existing bool
	// Log takes the store's messages.
	Log *zap.Logger

	// heartbeat and giveUp replace heartbeatEvery and giveUpAfter in tests, and the others the
	// constants of their names.
	heartbeat, giveUp, tallyEvery time.Duration
	tallyShare                    time.Duration
	smallTable                    int64
}

// How long what the store does may take. What takes longer fails.
const (
	openWithin    = 10 * time.Second
	connectWithin = 2 * time.Second
	readWithin    = 5 * time.Second
	closeWithin   = time.Second
	createWithin  = 2 * time.Second
	writeWithin   = 5 * time.Second
)

// How many connections the pools have at most: the one for what is asked, and the one for
// heartbeats and hints, which must not wait for the others. The lane and the listener have one
// each besides.
const (
	maxConnections = 6
	maxControl     = 2
)

// maxRecord is the largest size of a record, in bytes, as in the embedded store.
const maxRecord = 900 << 10

// Store implements store.Shared.
//
// What is decided goes into a lane, which commits many decisions together. What is read comes
// from the database.
type Store struct {
	options    Options
	log        *zap.Logger
	pool       *pgxpool.Pool
	control    *pgxpool.Pool
	wires      wires
	statements sync.Map // string -> string
	id         string
	keys       *keyring
	secrets    atomic.Pointer[callback.Secrets]
	lane       *lane
	reader     *reader
	recent     *recent
	members    members
	notifier   *notifier
	changes    chan store.Hint
	// lost counts how often hints were lost, or may have been. listened says that there was a
	// connection for them, and belongs to listen.
	lost     atomic.Uint64
	listened bool
	// left yields when another node has left.
	left chan struct{}
	// hearing is what the log says about the connection for hints, and heardAt when this node
	// heard itself last.
	hearing  *outage.Outage
	heardAt  atomic.Int64
	policies policies
	tally    tally
	// indexed says that all indexes are there.
	indexed atomic.Bool

	closed     atomic.Bool
	closing    sync.Once
	stopping   context.Context
	stop       context.CancelFunc
	background sync.WaitGroup
}

// Open opens the store. Errors say what is wrong and what to do.
func Open(o Options) (*Store, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openWithin)
	defer cancel()
	o.heartbeat, o.giveUp = cmp.Or(o.heartbeat, heartbeatEvery), cmp.Or(o.giveUp, giveUpAfter)
	o.tallyEvery, o.tallyShare, o.smallTable = cmp.Or(o.tallyEvery, tallyEvery), cmp.Or(o.tallyShare, tallyShare), cmp.Or(o.smallTable, smallTable)
	s := &Store{options: o, log: o.Log, recent: newRecent(), changes: make(chan store.Hint, maxHints), left: make(chan struct{}, 1)}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.keys, s.tally.asked = newKeyring(o.Keys), make(chan struct{}, 1)
	s.hearing = outage.New(o.Log, "hints of other nodes do not come; what they change is seen later", "hints of other nodes come again")
	s.lane, s.reader, s.notifier = newLane(s), newReader(s), newNotifier(s)
	if err := s.open(ctx); err != nil {
		s.stop()
		s.disconnect()
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == codeProtocol && o.Direct == "" {
			err = fmt.Errorf("%w: %w", errPooler, err)
		}
		return nil, fmt.Errorf("opening the store in PostgreSQL: %w", err)
	}
	s.background.Go(s.lane.run)
	s.background.Go(s.notifier.run)
	s.background.Go(s.heartbeats)
	s.background.Go(s.listen)
	s.background.Go(s.poll)
	s.background.Go(s.tidy)
	s.background.Go(s.makeLarge)
	s.background.Go(s.keepTally)
	return s, nil
}

// errPooler: the server does not know what PostgreSQL knows.
var errPooler = errors.New("the URL leads to a pooler, it seems: leave that, and name the database itself with direct")

// open connects, prepares the tables and joins the nodes.
func (s *Store) open(ctx context.Context) error {
	c, err := pgxpool.ParseConfig(s.options.URL)
	if err != nil {
		return errURL
	}
	c.MaxConns = maxConnections
	c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { return s.freshen(c, s.options.URL) }
	s.configure(c.ConnConfig)
	if s.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return err
	}
	c = c.Copy()
	c.MaxConns = maxControl
	if s.control, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return err
	}
	for _, prepare := range []func(context.Context) error{s.checkServer, s.migrate, s.checkGrants, s.checkKeys, s.readID, s.openSecrets, s.joinFirst} {
		err := prepare(ctx)
		for pgconn.Timeout(err) && ctx.Err() == nil {
			// A server that has just started, or has much to do, may be slow.
			err = prepare(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readID reads the store's id.
func (s *Store) readID(ctx context.Context) error {
	return s.pool.QueryRow(ctx, s.sql(`SELECT id FROM @meta`)).Scan(&s.id)
}

// joinFirst makes this process a node. If it has become one and does not know the others yet, it
// looks who they are.
func (s *Store) joinFirst(ctx context.Context) error {
	if s.Node() != 0 {
		return s.look(ctx)
	}
	return s.join(ctx, 0)
}

// configure sets what every connection of the store needs. A pooler takes no settings, and
// knows nothing of statements that were prepared.
func (s *Store) configure(c *pgx.ConnConfig) {
	s.configureAny(c)
	if s.options.Direct != "" {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		return
	}
	for name, value := range map[string]string{
		"default_transaction_isolation":       "read committed",
		"search_path":                         searchPath,
		"statement_timeout":                   "5s",
		"lock_timeout":                        "3s",
		"idle_in_transaction_session_timeout": "10s",
		// Plans are kept that were made when there were hardly any rows, and must suit many.
		"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
	} {
		c.RuntimeParams[name] = value
	}
}

// configureAny sets what every connection needs, a pooler's or not.
func (s *Store) configureAny(c *pgx.ConnConfig) {
	c.ConnectTimeout, c.DialFunc = connectWithin, s.wires.dial
	c.RuntimeParams["application_name"] = "caddy-callback"
}

// freshen reads password and certificates again, which may have been replaced.
func (s *Store) freshen(c *pgx.ConnConfig, url string) error {
	fresh, err := pgx.ParseConfig(url)
	if err != nil {
		return errors.New("the certificates of the database cannot be read")
	}
	c.TLSConfig, c.Fallbacks = fresh.TLSConfig, fresh.Fallbacks
	if s.options.Password == nil {
		return nil
	}
	c.Password, err = s.options.Password()
	return err
}

// connectLane returns the connection of a lane.
func (s *Store) connectLane(ctx context.Context) (*pgx.Conn, error) {
	c := s.pool.Config().ConnConfig
	if s.options.Direct == "" {
		c.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	}
	return s.connect(ctx, c, s.options.URL)
}

// connectListener returns a connection that hears notices.
func (s *Store) connectListener(ctx context.Context) (*pgx.Conn, error) {
	url := cmp.Or(s.options.Direct, s.options.URL)
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	s.configureAny(c)
	return s.connect(ctx, c, url)
}

// connect returns a connection outside the pool.
func (s *Store) connect(ctx context.Context, c *pgx.ConnConfig, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := s.freshen(c, url); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, c)
}

// ID implements store.Store.
func (s *Store) ID() string { return s.id }

// Changes implements store.Store.
func (s *Store) Changes() <-chan store.Hint { return s.changes }

// Commits implements store.Measured.
func (s *Store) Commits() store.Commits {
	c := &s.lane.commits
	return store.Commits{Count: c.count.Load(), Records: c.records.Load(), Took: time.Duration(c.took.Load())}
}

// Ready implements store.Store.
func (s *Store) Ready() error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return s.members.ready()
}

// Close implements store.Store.
func (s *Store) Close() error {
	err := store.ErrClosed
	s.closing.Do(func() { err = s.close() })
	return err
}

// close lets the lane commit what it has, and leaves the nodes.
func (s *Store) close() error {
	s.closed.Store(true)
	s.lane.close()
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	<-s.lane.ended
	s.notifier.flush(ctx)
	s.stop()
	s.background.Wait()
	// A node that cannot say that it leaves is given up. The others go on with its work as soon
	// as they know.
	if s.leave(ctx, s.Node()) == nil {
		_ = s.notifier.notify(ctx, farewell)
	}
	s.disconnect()
	return nil
}

// disconnect closes the pools. A server that does not answer is not waited for.
func (s *Store) disconnect() {
	defer s.wires.cut()
	timer := time.AfterFunc(closeWithin, s.wires.cut)
	defer timer.Stop()
	for _, pool := range []*pgxpool.Pool{s.pool, s.control} {
		if pool != nil {
			pool.Close()
		}
	}
}

// tidyEvery is how often it is looked for bodies that were left behind, and policiesEvery how many
// times that happens before it is looked for policies, too.
const (
	tidyEvery     = time.Minute
	policiesEvery = 10
)

// tidyGrace is how long that goes on while the store is closed. Otherwise one that is never open
// for long would never come to its end.
const tidyGrace = time.Second

// tidy removes what nobody needs, at once and from time to time.
func (s *Store) tidy() {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for round := 0; ; round++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		detach := context.AfterFunc(s.stopping, func() { time.AfterFunc(tidyGrace, cancel) })
		if round%policiesEvery == 0 {
			if err := s.forgetPolicies(ctx); err != nil && s.stopping.Err() == nil {
				s.log.Warn("policies that no callback needs could not be removed", zap.Error(err))
			}
		}
		if err := s.forgetBodies(ctx); err != nil && s.stopping.Err() == nil {
			s.log.Warn("bodies that no callback needs could not be removed", zap.Error(err))
		}
		detach()
		cancel()
		select {
		case <-ticker.C:
		case <-s.stopping.Done():
			return
		}
	}
}

// reading returns the context of something that is read, unless the store is closed.
func (s *Store) reading(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if s.closed.Load() {
		return nil, nil, store.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	return ctx, cancel, nil
}

// Interface guards
var (
	_ store.Shared   = (*Store)(nil)
	_ store.Measured = (*Store)(nil)
	_ store.Tallied  = (*Store)(nil)
)
