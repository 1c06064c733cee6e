package store

// Confined is implemented by stores that know how much space there is for them.
type Confined interface {
	// Space returns how many bytes are free, and below how many new callbacks are refused.
	// The error says that it is not known.
	Space() (free, least uint64, err error)
}
