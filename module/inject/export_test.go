package inject

// For the tests of this package that are outside of it.
var Alike = alike

// WithoutAlike returns a segment of a query as SetQuery leaves it.
func WithoutAlike(segment, name string) string {
	return string(appendWithoutAlike(nil, segment, name))
}
