package inject

import "bytes"

// maxNamespaces is how many declarations of namespaces can count at one place.
const maxNamespaces = 256

// The namespaces of the prefixes that need no declaration.
const (
	xmlURI   = "http://www.w3.org/XML/1998/namespace"
	xmlnsURI = "http://www.w3.org/2000/xmlns/"
)

// The numbers of namespaces that are not declared; declared ones begin at zero.
const (
	noSpace = -1 - iota
	xmlSpace
	xmlnsSpace
)

// namespaces knows which prefixes are declared at a place in a document. The default
// namespace is not among them: it matters to no attribute, and names of elements are compared
// without any.
type namespaces struct {
	// bound are the declarations that count, those of the outer elements first.
	bound []binding
	// byPrefix and byURI have the innermost declaration of each prefix, and the outermost
	// of each URI, by which the namespace is known.
	byPrefix, byURI map[string]int
}

type binding struct {
	prefix, uri string
	// space is the number of the namespace; hidden is the declaration of the prefix that
	// counts again after this one, -1 for none.
	space, hidden int
}

// declare declares a prefix. It reports what is wrong with that, "" for nothing.
func (n *namespaces) declare(prefix, uri string) (fault string) {
	switch {
	case prefix == "xmlns" || uri == xmlnsURI || (prefix == "xml") != (uri == xmlURI):
		return "declaration of a reserved namespace"
	case prefix == "xml" || prefix == "":
		return ""
	case uri == "":
		return "declaration of no namespace"
	case len(n.bound) == maxNamespaces:
		return "too many declarations of namespaces"
	}
	if n.byPrefix == nil {
		n.byPrefix, n.byURI = make(map[string]int), make(map[string]int)
	}
	index := len(n.bound)
	b := binding{prefix: prefix, uri: uri, space: index, hidden: -1}
	if outer, ok := n.byPrefix[prefix]; ok {
		b.hidden = outer
	}
	if same, ok := n.byURI[uri]; ok {
		b.space = same
	} else {
		n.byURI[uri] = index
	}
	n.byPrefix[prefix] = index
	n.bound = append(n.bound, b)
	return ""
}

// leave ends all declarations but the outermost ones.
func (n *namespaces) leave(remaining int) {
	for len(n.bound) > remaining {
		index := len(n.bound) - 1
		b := n.bound[index]
		n.bound = n.bound[:index]
		if b.space == index {
			delete(n.byURI, b.uri)
		}
		if b.hidden >= 0 {
			n.byPrefix[b.prefix] = b.hidden
		} else {
			delete(n.byPrefix, b.prefix)
		}
	}
}

// of returns the number of the namespace that a prefix stands for.
func (n *namespaces) of(prefix []byte) (space int, ok bool) {
	switch string(prefix) {
	case "":
		return noSpace, true
	case "xml":
		return xmlSpace, true
	case "xmlns":
		return xmlnsSpace, true
	}
	index, ok := n.byPrefix[string(prefix)]
	if !ok {
		return 0, false
	}
	return n.bound[index].space, true
}

// uri returns the namespace that a prefix is declared for, "" if it needs no declaration.
func (n *namespaces) uri(prefix []byte) string {
	if index, ok := n.byPrefix[string(prefix)]; ok {
		return n.bound[index].uri
	}
	return ""
}

// splitName returns the two parts of a name.
func splitName(name []byte) (prefix, local []byte) {
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return nil, name
}

// declares returns the prefix that an attribute of that name declares, "" for the default
// namespace.
func declares(name []byte) (prefix string, ok bool) {
	first, local := splitName(name)
	switch {
	case string(name) == "xmlns":
		return "", true
	case string(first) == "xmlns":
		return string(local), true
	}
	return "", false
}
