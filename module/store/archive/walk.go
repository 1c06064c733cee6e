package archive

import (
	"crypto/sha256"
	"encoding/json"
	"hash"
	"io"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// visitor is shown what is in an archive, in order.
type visitor interface {
	head(h head) error
	policy(p *callback.Policy) error
	// callback begins a callback. known says that the store knew the secret from which it was
	// derived.
	callback(r *callback.Record, known bool) error
	// piece is the next piece of a body, valid until it returns, and body ends the body.
	piece(b *callback.Body, content []byte) error
	body(b *callback.Body) error
	// complete ends a callback.
	complete(r *callback.Record) error
}

// walk reads an archive to its end.
func walk(from io.Reader, v visitor) error {
	in, err := newReader(from)
	if err != nil {
		return err
	}
	w := &walker{in: in, v: v, policies: make(map[callback.Digest]bool)}
	if err := w.begin(); err != nil {
		return err
	}
	for {
		k, content, err := w.in.frame()
		if err == nil {
			err = w.frame(k, content)
		}
		if err != nil {
			return err
		}
		if k == endFrame {
			return w.in.end()
		}
	}
}

type walker struct {
	in     *reader
	v      visitor
	counts Counts
	// policies are those that have come.
	policies map[callback.Digest]bool
}

// begin reads the head.
func (w *walker) begin() error {
	k, content, err := w.in.frame()
	if err != nil {
		return err
	}
	var h head
	if k != headFrame || json.Unmarshal(content, &h) != nil {
		return damaged("it does not begin as it must")
	}
	for _, secret := range h.Secrets {
		if len(secret) != len(callback.Secret{}) {
			return damaged("a secret has the wrong length")
		}
	}
	return w.v.head(h)
}

func (w *walker) frame(k kind, content []byte) error {
	switch k {
	case policyFrame:
		return w.policy(content)
	case recordFrame:
		return w.callback(content)
	case endFrame:
		var want Counts
		if json.Unmarshal(content, &want) != nil || want != w.counts {
			return damaged("it does not have as much in it as its end says")
		}
		return nil
	}
	return damaged("a part of it is where none of its kind can be")
}

func (w *walker) policy(content []byte) error {
	p, err := callback.DecodePolicy(content)
	if err != nil {
		return damaged("a policy cannot be read")
	}
	w.policies[p.Hash()] = true
	w.counts.Policies++
	return w.v.policy(p)
}

func (w *walker) callback(content []byte) error {
	if len(content) == 0 || content[0] > 1 {
		return damaged("a callback cannot be read")
	}
	r, err := store.DecodeRecord(content[1:])
	if err != nil {
		return damaged("a callback cannot be read")
	}
	if !w.policies[r.Policy] {
		return damaged("a callback has no policy")
	}
	if err := w.v.callback(r, content[0] == 1); err != nil {
		return err
	}
	w.counts.Callbacks++
	for _, b := range files(r) {
		if err := w.body(b); err != nil {
			return err
		}
	}
	return w.v.complete(r)
}

// body reads the pieces of a body.
func (w *walker) body(b *callback.Body) error {
	if b.Size < 0 {
		return damaged("a body has no length")
	}
	for whole, left := sha256.New(), b.Size; ; {
		if left == 0 {
			return w.endBody(b, whole)
		}
		k, content, err := w.in.frame()
		if err != nil {
			return err
		}
		if k != pieceFrame || int64(len(content)) != min(left, store.BodyPiece) {
			return damaged("a body is not in the pieces that it must be in")
		}
		whole.Write(content)
		left -= int64(len(content))
		if err := w.v.piece(b, content); err != nil {
			return err
		}
	}
}

func (w *walker) endBody(b *callback.Body, whole hash.Hash) error {
	if callback.Digest(whole.Sum(nil)) != b.Sum {
		return damaged("a body has another checksum")
	}
	w.counts.Bodies++
	w.counts.Bytes += b.Size
	return w.v.body(b)
}
