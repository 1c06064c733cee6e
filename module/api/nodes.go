package api

import (
	"net/http"

	"github.com/caddy-callback/caddy-callback/module/answer"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// rosterDocument says who the nodes are.
type rosterDocument struct {
	// Shared says that the store is one that several nodes can use.
	Shared bool           `json:"shared"`
	Nodes  []nodeDocument `json:"nodes"`
	// Waiting is how many callbacks wait in the store, and Held how many clients this node
	// holds.
	Waiting int `json:"waiting"`
	Held    int `json:"held"`
}

// nodeDocument is what is told of one node.
type nodeDocument struct {
	// Number is that of a node of a shared store.
	Number callback.Node `json:"number,omitempty"`
	// This says that it is the node which answers.
	This    bool   `json:"this"`
	Release string `json:"release"`
	Host    string `json:"host"`
	// SilentSeconds is for how long nothing was heard of it.
	SilentSeconds float64 `json:"silentSeconds"`
}

// nodes lists the nodes that use the store. They are not told to a client that does not see
// all callbacks.
func (a *request) nodes() error {
	if !a.desk.SeesAll() {
		return problem.KeyNotAllowed
	}
	nodes, self, err := a.engine().Nodes(a.r.Context())
	if err != nil {
		return err
	}
	d := rosterDocument{Shared: self != 0, Waiting: a.engine().Waiting(), Held: a.engine().Held()}
	for _, n := range nodes {
		d.Nodes = append(d.Nodes, nodeDocument{
			Number: n.Node, This: n.Node == self, Release: n.Release, Host: n.Host,
			SilentSeconds: float64(n.Silent.Milliseconds()) / 1000,
		})
	}
	answer.WriteJSON(a.w, http.StatusOK, d)
	return nil
}
