package storetest

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

var concurrency = []test{
	{"many do everything at once", manyAtOnce},
}

// crowd is many goroutines that use a few callbacks together.
type crowd struct {
	*house
	shared []callback.UUID
	wins   []atomic.Int32
	data   []byte
	body   callback.Body
}

func manyAtOnce(h *house) {
	const members, steps = 12, 80
	if err := h.store.PutPolicy(h.Context(), h.policy); err != nil {
		h.Fatal(err)
	}
	c := &crowd{house: h, wins: make([]atomic.Int32, 30), data: patterned(66 << 10)}
	c.body = h.putBody(c.data)
	for range c.wins {
		r := h.newRecord()
		h.create(r)
		c.shared = append(c.shared, r.ID)
	}
	var done sync.WaitGroup
	for m := range members {
		done.Go(func() {
			random := rand.New(rand.NewPCG(uint64(m), 1))
			for range steps {
				if err := c.step(random); err != nil {
					h.Errorf("member %d: %v", m, err)
					return
				}
			}
		})
	}
	done.Wait()
	c.check("afterwards")
	h.reopen()
	c.check("after reopening")
}

// step does one thing at random.
func (c *crowd) step(random *rand.Rand) error {
	i := random.IntN(len(c.shared))
	id := c.shared[i]
	switch random.IntN(8) {
	case 0, 1:
		return c.compete(i, strconv.FormatUint(random.Uint64(), 36))
	case 2:
		return c.comeAndGo()
	case 3:
		r, commit, err := c.store.Find(c.Context(), store.ByState(c.store.Secret().State(id)))
		if err != nil {
			return err
		}
		if r.ID != id {
			return errors.New("the state of one callback led to another")
		}
		return store.Wait(c.Context(), commit)
	case 4:
		_, err := c.store.Due(c.Context(), now.Add(1<<50), 5)
		_, _, errList := c.store.List(c.Context(), store.Query{Limit: 5})
		return errors.Join(err, errList)
	case 5:
		_, err := c.store.Policy(c.Context(), c.policy.Hash())
		c.store.Waiting()
		return errors.Join(err, c.store.Ready())
	case 6:
		content, err := c.store.OpenBody(c.Context(), stripped(c.body), c.space())
		if err != nil {
			return err
		}
		return content.Close()
	default:
		_, _, err := c.store.Update(c.Context(), store.ByTicket(c.store.Secret().Ticket(id)), nothing)
		return err
	}
}

// compete tries to close a shared callback and notes who did.
func (c *crowd) compete(i int, reason string) error {
	r, commit, err := c.store.Update(c.Context(), store.ByID(c.shared[i]), c.closeFor(reason))
	if err != nil {
		return err
	}
	if r.Phase != callback.Closed {
		return errors.New("a callback is still " + r.Phase.String())
	}
	if r.Reason == reason {
		c.wins[i].Add(1)
	}
	return store.Wait(c.Context(), commit)
}

// comeAndGo creates a callback that nobody else uses, changes and deletes it.
func (c *crowd) comeAndGo() error {
	r := callback.New(c.store.Secret(), c.policy, callback.Spec{ExpiresIn: 1}, now)
	if _, err := c.store.Create(c.Context(), r); err != nil {
		return err
	}
	for _, decide := range []store.Decide{count, c.closeFor("mine"), remove} {
		if _, _, err := c.store.Update(c.Context(), store.ByID(r.ID), decide); err != nil {
			return err
		}
	}
	if _, _, err := c.store.Find(c.Context(), store.ByID(r.ID)); !errors.Is(err, store.ErrNotFound) {
		return errors.New("a deleted callback is still there")
	}
	return nil
}

func (c *crowd) check(when string) {
	c.Helper()
	open := 0
	for i, id := range c.shared {
		r, _, err := c.store.Find(c.Context(), store.ByID(id))
		if err != nil {
			c.Fatalf("%s: %v", when, err)
		}
		wins := c.wins[i].Load()
		if closed := r.Phase == callback.Closed; wins > 1 || closed != (wins == 1) {
			c.Errorf("%s: a callback that was won %d times is %s", when, wins, r.Phase)
		}
		if r.Phase == callback.Waiting {
			open++
		}
	}
	c.wantWaiting(when, open)
	c.eventually(when+": forgetting what was deleted", func() bool {
		return len(c.due(now.Add(1<<60), 1000)) == len(c.shared) && len(c.listAll(store.Query{})) == len(c.shared)
	})
}
