package answer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/unpack"
)

// OpenResult opens a result for a client, and returns it with its content. If it is packed in
// a way that the client does not take, it is opened unpacked, and its header says what is
// then so. What cannot be unpacked is opened as it is: the client can have it in no other
// form. The error is engine.ErrBusy, or one of the store.
func OpenResult(r *http.Request, b engine.Bodies, result callback.Result, p *callback.Policy) (callback.Result, engine.Content, error) {
	return openResult(context.WithoutCancel(r.Context()), b, result, p, unpacks(r, result))
}

// OpenPlain opens a result unpacked, if it can be unpacked, and else as it is. The errors are
// those of OpenResult.
func OpenPlain(ctx context.Context, b engine.Bodies, result callback.Result, p *callback.Policy) (engine.Content, error) {
	_, content, err := openResult(ctx, b, result, p, unpack.Knows(codingOf(result)))
	return content, err
}

func openResult(ctx context.Context, b engine.Bodies, result callback.Result, p *callback.Policy, unpacked bool) (callback.Result, engine.Content, error) {
	coding := codingOf(result)
	if unpacked {
		content, err := b.Unpacked(ctx, *result.Body, coding)
		if err == nil {
			result.Header = unpackedHeader(result.Header)
		}
		if !errors.Is(err, unpack.ErrUnreadable) {
			return result, content, err
		}
	}
	content, err := b.Result(ctx, result, p)
	content.Varies = unpack.Knows(coding)
	return result, content, err
}

// OpenForEvent opens a result for an event, which cannot say how its data is packed: unpacked,
// unless that cannot be done. The error is engine.ErrBusy, or one of the store.
func OpenForEvent(ctx context.Context, b engine.Bodies, result callback.Result, p *callback.Policy) (engine.Content, error) {
	if coding := codingOf(result); result.Body != nil && unpack.Knows(coding) {
		content, err := b.Unpacked(ctx, *result.Body, coding)
		if !errors.Is(err, unpack.ErrUnreadable) {
			return content, err
		}
	}
	return b.Result(ctx, result, p)
}

// codingOf returns the content coding of a result; "" for none.
func codingOf(result callback.Result) string {
	return unpack.CodingOf(result.Header.Values("Content-Encoding"))
}

// unpacks reports whether a result is unpacked for a client, if it can be. A part of a body
// cannot, and what must not be transformed is not.
func unpacks(r *http.Request, result callback.Result) bool {
	coding := codingOf(result)
	if result.Body == nil || !unpack.Knows(coding) || result.Status == http.StatusPartialContent {
		return false
	}
	for _, line := range result.Header.Values("Cache-Control") {
		if strings.Contains(strings.ToLower(line), "no-transform") {
			return false
		}
	}
	packed, plain := taken(r.Header["Accept-Encoding"], coding)
	return !packed && plain
}

// taken reports whether a client takes a body that is packed with a coding, and whether it
// takes one that is not packed (RFC 9110, section 12.5.3). One that does not say what it
// takes may know no coding at all.
func taken(accepted []string, coding string) (packed, plain bool) {
	const identity, others = "identity", "*"
	weights := make(map[string]bool)
	for _, line := range accepted {
		for element := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(element, ";")
			if name = strings.ToLower(strings.TrimSpace(name)); name == "x-gzip" {
				name = "gzip"
			}
			weights[name] = hasWeight(parameters)
		}
	}
	packed, named := weights[coding]
	if !named {
		packed = weights[others]
	}
	if plain, named = weights[identity]; !named {
		refused := false
		plain, refused = weights[others]
		plain = plain || !refused
	}
	return packed, plain
}

// hasWeight reports whether the parameters of a coding that a client names give it a weight
// above zero. A weight that cannot be read is none.
func hasWeight(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q > 0
		}
	}
	return true
}

// unpackedHeader returns the header of a packed result for the same unpacked.
func unpackedHeader(h callback.Header) callback.Header {
	var header callback.Header
	for _, f := range h {
		switch {
		case f.Name == "Content-Encoding" || f.Name == "Content-Length" || f.Name == "Accept-Ranges" || slices.Contains(callback.DigestHeaders, f.Name):
			continue
		case f.Name == "Etag":
			if f.Value = unpackedTag(f.Value); f.Value == "" {
				continue
			}
		}
		header = append(header, f)
	}
	return header
}

// unpackedTag returns the entity tag of a body that has this tag packed; "" if this is none.
func unpackedTag(tag string) string {
	if !isTag(tag) {
		return ""
	}
	return strings.TrimSuffix(tag, `"`) + `-unpacked"`
}

// addVary says that an answer depends on the client's Accept-Encoding.
func addVary(h http.Header) {
	const name = "Accept-Encoding"
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, name) {
				return
			}
		}
	}
	h.Add("Vary", name)
}
