package store

import "github.com/caddy-callback/caddy-callback/module/callback"

// Tally is what a store has under one name.
type Tally struct {
	// Name is the callbacks' name; OtherNames for those whose names are not told apart.
	Name string
	// Waiting is how many callbacks wait, and Dead how many deliveries were given up.
	Waiting, Dead int
	// Oldest is when the oldest callback that waits was created, or a little earlier, as
	// Tallied says; zero if none waits.
	Oldest callback.Time
}

// Tallied is implemented by stores that keep count of what they have under each name.
type Tallied interface {
	// Tally returns the counts by name, the names in order and OtherNames last. It reads little, whatever there is
	// to count, and costs about the same each time, so that it can be asked often. What it says
	// may be some seconds old in a store of several nodes. Shortly after the start it may be too
	// low, while the store is still counting.
	//
	// Of a name that has nothing any more it may go on saying so. Oldest may be earlier than the
	// truth by a second, or by MaxVague of the age.
	Tally() []Tally
}

// MaxVague is by how much of a callback's age Tally may take it for older.
const MaxVague = 0.05

// MaxTallied is how many names are told apart. The callbacks of all others are counted
// together, under OtherNames, which is no name that a callback can have.
const (
	MaxTallied = 500
	OtherNames = "(others)"
)
