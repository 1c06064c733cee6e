package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// arm is one way to use the product. Its floor is the number of exchanges that pass
// through reverse_proxy, one after the other, for the same job.
type arm struct {
	name  string
	floor int
	do    func(*bench) error
}

var arms = []arm{
	{"hold", 2, (*bench).hold},
	{"keyed", 2, (*bench).keyed},
	{"park", 1, (*bench).park},
	{"defer", 2, (*bench).deferred},
	{"deliver", 3, (*bench).deliver},
	{"steps", 4, (*bench).steps},
	{"api", 3, (*bench).generated},
	{"plain", 1, (*bench).plain},
	{"respond", 1, (*bench).respond},
	{"tworesp", 2, (*bench).twoResponses},
	{"list", 1, (*bench).list},
	{"status", 1, (*bench).status},
}

func armNames() string {
	var names []string
	for _, a := range arms {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

func armsOf(list string) ([]arm, error) {
	if list == "all" {
		// Of lists the server makes only a few at once, and refuses others.
		return slices.DeleteFunc(slices.Clone(arms), func(a arm) bool { return a.name == "list" }), nil
	}
	var chosen []arm
next:
	for name := range strings.SplitSeq(list, ",") {
		for _, a := range arms {
			if a.name == name {
				chosen = append(chosen, a)
				continue next
			}
		}
		return nil, fmt.Errorf("-arms: %q is none of %s", name, armNames())
	}
	return chosen, nil
}

// pass returns a function that makes n exchanges through reverse_proxy.
func (b *bench) pass(n int) func() error {
	return func() error {
		if err := b.post(b.client, b.ports.url(b.ports.floor, "/work"), http.StatusAccepted, nil); err != nil {
			return err
		}
		for range n - 1 {
			if err := b.post(b.callClient, b.ports.url(b.ports.floor, "/app"), http.StatusOK, nil); err != nil {
				return err
			}
		}
		return nil
	}
}

// hold is one held request.
func (b *bench) hold() error {
	return b.post(b.client, b.ports.url(b.ports.product, "/work"), http.StatusOK, nil)
}

// keyed is one held request with an Idempotency-Key, which waits for both commits.
func (b *bench) keyed() error {
	key := http.Header{"Idempotency-Key": {"bench-" + strconv.FormatInt(numbered.Add(1), 10)}}
	return b.post(b.client, b.ports.url(b.ports.product, "/work"), http.StatusOK, key)
}

// steps is a request that is held twice on its way.
func (b *bench) steps() error {
	return b.post(b.client, b.ports.url(b.ports.product, "/steps"), http.StatusOK, nil)
}

// park is a request whose client gets 202, and whose partner does not call.
func (b *bench) park() error {
	return b.post(b.client, b.ports.url(b.ports.product, "/park"), http.StatusAccepted, nil)
}

// plain is a request to a site that has callback_server in front.
func (b *bench) plain() error {
	return b.post(b.client, b.ports.url(b.ports.calls, "/app"), http.StatusOK, nil)
}

// respond is a request that Caddy answers itself.
func (b *bench) respond() error {
	return b.post(b.callClient, b.ports.url(b.ports.product, "/respond"), http.StatusOK, nil)
}

// twoResponses is the least that a hold consists of: an exchange with the upstream,
// and one that Caddy answers itself.
func (b *bench) twoResponses() error { return errors.Join(b.plain(), b.respond()) }

// list is the API's first page of ten callbacks.
func (b *bench) list() error { return b.get(b.ports.url(b.ports.product, "/callbacks?limit=10")) }

// status reads the status of a callback, which is created only once.
func (b *bench) status() error {
	url, err := b.someStatus()
	if err != nil {
		return err
	}
	return b.get(url)
}

// makeOne makes a callback, and returns its status URL.
func (b *bench) makeOne() (url string, err error) {
	header := http.Header{"Content-Type": {"application/json"}}
	err = b.exchange(b.client, b.ports.url(b.ports.product, "/callbacks"), http.StatusCreated, header, []byte("{}"), func(d *json.Decoder) error {
		var made struct {
			StatusURL string `json:"statusUrl"`
		}
		err := d.Decode(&made)
		url = made.StatusURL
		return err
	})
	return url, err
}

// get reads an address.
func (b *bench) get(url string) error {
	resp, err := b.client.Get(url)
	if err != nil {
		return err
	}
	return finish(resp, http.StatusOK, nil)
}

// deferred is a request that is processed in the background and whose result is
// delivered.
func (b *bench) deferred() error { return b.delivered("/defer") }

// deliver is a request that is parked, and whose result is delivered after the call.
func (b *bench) deliver() error { return b.delivered("/deliver") }

// numbered numbers the requests that must differ.
var numbered atomic.Int64

// delivered sends a request and waits until its result has been delivered.
func (b *bench) delivered(path string) error {
	target := "/done/" + strconv.FormatInt(numbered.Add(1), 10)
	arrived := make(chan struct{}, 1)
	b.awaited.Store(target, arrived)
	defer b.awaited.Delete(target)
	header := http.Header{"X-Callback": {b.ports.url(b.ports.peer, target)}}
	if err := b.post(b.client, b.ports.url(b.ports.product, path), http.StatusAccepted, header); err != nil {
		return err
	}
	select {
	case <-arrived:
		return nil
	case <-time.After(20 * time.Second):
		return fmt.Errorf("%s: no delivery", path)
	}
}

// generated is a callback that is made with the API, called, and read.
func (b *bench) generated() error {
	api := b.ports.url(b.ports.product, "/callbacks")
	var made struct{ ID, CallbackURL string }
	err := b.exchange(b.client, api, http.StatusCreated, http.Header{"Content-Type": {"application/json"}}, []byte(`{}`), func(d *json.Decoder) error { return d.Decode(&made) })
	if err != nil {
		return err
	}
	if err := b.post(b.callClient, made.CallbackURL, http.StatusOK, nil); err != nil {
		return err
	}
	resp, err := b.client.Get(api + "/" + made.ID)
	if err != nil {
		return err
	}
	return finish(resp, http.StatusOK, nil)
}
