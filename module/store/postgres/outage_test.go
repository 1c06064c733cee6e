package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/postgres/postgrestest"
)

// behind is a store that reaches its server through a proxy.
type behind struct {
	*nodes
	server *postgrestest.Cluster
	proxy  *postgrestest.Proxy
	s      *Store
	logs   *observer.ObservedLogs
}

// newBehind opens a store on the server of all tests.
func newBehind(t *testing.T) *behind {
	t.Helper()
	_, schema := postgrestest.New(t)
	return newBehindOn(t, postgrestest.Shared(t), schema)
}

func newBehindOn(t *testing.T, server *postgrestest.Cluster, schema string) *behind {
	t.Helper()
	b := &behind{server: server}
	b.proxy = b.server.NewProxy(t)
	core, logs := observer.New(zap.InfoLevel)
	b.logs = logs
	b.nodes = &nodes{T: t, policy: &callback.Policy{BaseURL: "https://app.example.com"}, options: Options{
		URL: b.proxy.URL(), Schema: schema, Migrate: true, Secrets: callback.NewSecrets(callback.NewSecret()), Log: zap.New(core),
	}}
	if err := b.policy.Compile(); err != nil {
		t.Fatal(err)
	}
	b.s = b.open()
	t.Cleanup(b.proxy.Mend)
	return b
}

// slack is how much longer what is bounded may take on a machine that is busy.
const slack = 2 * time.Second

// creates tries to create a callback.
func (b *behind) creates() error {
	_, err := b.tries()
	return err
}

// tries tries to create a callback, and returns its id.
func (b *behind) tries() (callback.UUID, error) {
	r := callback.New(b.s.Secret(), b.policy, callback.Spec{ExpiresIn: time.Minute}, 1000)
	_, err := b.s.Create(b.Context(), r)
	return r.ID, err
}

// logged reports whether a line of the log has these texts.
func (b *behind) logged(texts ...string) bool {
	for _, e := range b.logs.All() {
		line := e.Message
		for _, f := range e.Context {
			line += " " + f.Key + "=" + f.String
			if err, ok := f.Interface.(error); ok {
				line += err.Error()
			}
		}
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			return true
		}
	}
	return false
}

// During an outage nothing that is asked of the store takes longer than it may, however long it
// had to wait for its turn, and the store is itself again soon after.
func TestNothingHangsInAnOutage(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*behind){
		"the server is killed":        func(b *behind) { b.server.Crash() },
		"the server is paused":        func(b *behind) { b.server.Pause() },
		"connections break":           func(b *behind) { b.proxy.Cut() },
		"what is sent is swallowed":   func(b *behind) { b.proxy.Swallow() },
		"everything arrives too late": func(b *behind) { b.proxy.Delay(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b *behind
			if strings.Contains(name, "server") {
				b = newBehindOn(t, postgrestest.NewCluster(t), "callback")
			} else {
				b = newBehind(t)
			}
			r := b.create(b.s, nil)
			begin(b)
			var mu sync.Mutex
			worst := map[string]time.Duration{}
			var unstored []callback.UUID
			ask := func(what string, do func() error) {
				began := time.Now()
				err := do()
				mu.Lock()
				defer mu.Unlock()
				worst[what] = max(worst[what], time.Since(began))
				if !errors.Is(err, store.ErrFailed) {
					t.Errorf("%s: %v", what, err)
				}
			}
			var asking sync.WaitGroup
			for until := time.Now().Add(7 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
				asking.Go(func() {
					ask("creating", func() error {
						id, err := b.tries()
						if err != nil && strings.Contains(err.Error(), "nothing was stored") {
							mu.Lock()
							defer mu.Unlock()
							unstored = append(unstored, id)
						}
						return err
					})
				})
				asking.Go(func() {
					ask("deciding", func() error { _, _, err := b.s.Update(t.Context(), store.ByID(r.ID), add("a")); return err })
				})
				asking.Go(func() {
					ask("reading", func() error { _, _, err := b.s.Find(t.Context(), store.ByID(r.ID)); return err })
				})
			}
			asking.Wait()
			t.Logf("at most %v", worst)
			if worst["creating"] > createWithin+slack || worst["deciding"] > writeWithin+slack || worst["reading"] > readWithin+slack {
				t.Errorf("it took %v", worst)
			}
			if strings.Contains(name, "killed") {
				if err := b.server.Again(); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(name, "paused") {
				b.server.Resume()
			}
			b.proxy.Mend()
			began := time.Now()
			b.eventually("the store works", func() bool { return b.creates() == nil })
			if took := time.Since(began); took > 2*slack {
				t.Errorf("it works %v after the outage", took)
			}
			if broke := strings.Contains(name, "killed") || strings.Contains(name, "break"); broke && b.logged(errSilence.Error()) {
				t.Errorf("connections broke, and the log says that nothing comes on one: %v", b.logs.All())
			}
			for _, id := range unstored {
				if _, _, err := b.s.Find(t.Context(), store.ByID(id)); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("of a creation it was said that nothing was stored, and it is found: %v", err)
				}
			}
			t.Logf("of %d creations it was said that nothing was stored", len(unstored))
		})
	}
}

// A connection on which nothing comes any more, and that does not break, is replaced.
func TestNodeThatHearsNothingListensAgain(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	b.eventually("hearing itself", func() bool { return time.Since(time.Unix(0, b.s.heardAt.Load())) < time.Second })
	b.proxy.Swallow()
	b.eventually("noticing the outage", func() bool { return b.s.Ready() != nil })
	b.proxy.Mend()
	mended := time.Now().UnixNano()
	// Silence is noticed, a notice that was sent into it is given up, and both connect again.
	longest := deafAfter + readWithin + 2*connectWithin + heartbeatWithin + slack
	b.within(longest, "hearing itself again", func() bool { return b.s.heardAt.Load() > mended })
}

// A server that has lost commits is told of, whatever was under way when it did.
func TestLostCommitsAreNoticed(t *testing.T) {
	t.Parallel()
	for name, doubtful := range map[string]bool{"nothing was under way": false, "a batch was under way": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehind(t)
			for range 3 {
				b.create(b.s, nil)
			}
			if doubtful {
				b.proxy.Swallow()
				_ = b.creates()
			}
			if err := b.server.Exec("UPDATE " + b.options.Schema + ".lanes SET seq = 1"); err != nil {
				t.Fatal(err)
			}
			b.proxy.Mend()
			b.eventually("creating", func() bool { return b.creates() == nil })
			if !b.logged("the database has lost what it had committed", "") {
				t.Errorf("nothing is said of it: %v", b.logs.All())
			}
		})
	}
}

// The process can end although the database does not answer, and leaves no connection.
func TestClosingDoesNotWaitForADatabaseThatIsSilent(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	b.create(b.s, nil)
	b.proxy.Swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := b.s.Find(ctx, store.ByID(callback.NewUUID())); err == nil {
		t.Fatal("the database answers")
	}
	began := time.Now()
	if err := b.s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("closing took %v", took)
	}
	if open := len(b.s.wires.open); open > 0 {
		t.Errorf("%d connections are open", open)
	}
}

// A network that takes half a second for each question and its answer is no outage.
func TestSlowNetworkIsNoOutage(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	b.options.giveUp = time.Second
	slow := b.open()
	b.create(slow, nil)
	b.proxy.Delay(250 * time.Millisecond)
	b.eventually("steady heartbeats", func() bool {
		slow.members.mu.RLock()
		defer slow.members.mu.RUnlock()
		return time.Since(slow.members.steady) > b.options.giveUp
	})
	for until := time.Now().Add(7 * time.Second); time.Now().Before(until); {
		began := time.Now()
		r := b.create(slow, nil)
		if _, _, err := slow.Update(t.Context(), store.ByID(r.ID), add("a")); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("creating and deciding took %v", took)
		}
	}
	if b.logged("does not answer") {
		t.Errorf("it was taken for an outage: %v", b.logs.All())
	}
}

// A node that is silent is given up as soon as it may be, and not a heartbeat later.
func TestSilentNodeIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.heartbeat, o.giveUp = 3*time.Second, 4*time.Second
	one, two := mustOpen(t, o), mustOpen(t, o)
	defer one.Close()
	defer two.Close()
	<-time.After(5 * time.Second)
	two.stop()
	var seen time.Time
	if err := one.pool.QueryRow(t.Context(), one.sql(`SELECT seen FROM @nodes WHERE node = $1`), int64(two.Node())).Scan(&seen); err != nil {
		t.Fatal(err)
	}
	for one.Lives(two.Node()) && one.Now().Before(seen.Add(10*time.Second)) {
		<-time.After(5 * time.Millisecond)
	}
	if after := one.Now().Sub(seen); after < o.giveUp || after > o.giveUp+time.Second {
		t.Errorf("it was given up after %v", after)
	}
}

// Who has waited long enough is told that the outcome is not known, while the batch is still on
// its way. What it may come to refer to stays.
func TestBodyOfAWriteThatIsLateStays(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	// There is a connection to commit over.
	b.create(b.s, nil)
	body, err := b.s.PutBody(t.Context(), []byte(strings.Repeat("x", 70_000)))
	if err != nil {
		t.Fatal(err)
	}
	b.proxy.Swallow()
	r := callback.New(b.s.Secret(), b.policy, callback.Spec{ExpiresIn: time.Minute}, 1000)
	r.Answer = &callback.Response{Body: body}
	if _, err := b.s.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("creating over a connection that swallows: %v", err)
	}
	file, ok := callback.ParseUUID(body.File)
	if !ok || !b.s.lane.doubts(file) {
		t.Error("its body can be dropped")
	}
	b.proxy.Mend()
	b.eventually("knowing what became of it", func() bool { return !b.s.lane.doubts(file) })
}

// A server that has just started, or has much to do, may be slow at first.
func TestStoreIsOpenedThoughTheServerIsSlowAtFirst(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	proxy := postgrestest.Shared(t).NewProxy(t)
	o.URL = proxy.URL()
	proxy.Swallow()
	mended := time.AfterFunc(connectWithin+time.Second, proxy.Mend)
	defer mended.Stop()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
