package callback

// Node is one of several processes that use the same store at the same time. Its number is
// the store's, and no other process gets it, nor the same process after it was given up.
// Zero is none.
type Node uint64
