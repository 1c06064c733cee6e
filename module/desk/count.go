package desk

import (
	"context"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// Counted is how many callbacks match.
type Counted struct {
	Count int `json:"count"`
	// Before is the createdBefore with which those that were made since then do not match.
	Before callback.Time `json:"before"`
	// Next is where to go on counting: the work of one request is bounded. Empty at the
	// end.
	Next string `json:"next,omitempty"`
}

// countingTime is for how long one request counts.
const countingTime = 2 * time.Second

// Count counts callbacks, as far as one request does.
func (d *Desk) Count(ctx context.Context, q store.Query) (c Counted, err error) {
	if now := callback.At(d.engine().Now()) + 1; q.Before == 0 || q.Before > now {
		q.Before = now
	}
	c.Before, q.Limit = q.Before, store.MaxPageSize
	for until := time.Now().Add(countingTime); ; {
		places, next, err := d.places(ctx, q)
		if err != nil {
			return c, err
		}
		c.Count += len(places)
		if q.After = next; next == (store.Cursor{}) || time.Now().After(until) {
			c.Next = encodeCursor(next)
			return c, nil
		}
	}
}
