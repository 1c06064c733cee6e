package inject

// For the tests of this package that are outside of it.
var (
	Alike        = alike
	UnescapeEach = unescapeEach
)

// IsPartAlike reports whether some readers take a part for one of that name.
func IsPartAlike(partName, name string) bool { return (&part{name: partName}).isAlike(name) }

// WithoutAlike returns a segment of a query as SetQuery leaves it.
func WithoutAlike(segment, name string) string {
	return string(appendWithoutAlike(nil, segment, name))
}
