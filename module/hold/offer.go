package hold

import (
	"net/http"
	"slices"
	"strings"
)

// switches reports whether the client wants to use its connection for something other
// than HTTP: for a WebSocket or a tunnel. Such a request cannot be held. A server may
// ignore every other offer to upgrade, and ignores those of HTTP/1.0 (RFC 9110, section
// 7.8).
func switches(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return true
	}
	return r.ProtoAtLeast(1, 1) && slices.ContainsFunc(r.Header["Upgrade"], offersWebSocket)
}

func offersWebSocket(line string) bool {
	return slices.ContainsFunc(options(line), func(protocol string) bool {
		name, _, _ := strings.Cut(protocol, "/")
		return strings.EqualFold(strings.TrimSpace(name), "websocket")
	})
}

// offerHeaders are what an offer to upgrade consists of. They are for us alone, who
// ignore it.
var offerHeaders = []string{"Upgrade", "Http2-Settings"}

// isOffer reports whether a header is part of an offer to upgrade.
func isOffer(name string) bool {
	return slices.ContainsFunc(offerHeaders, func(offer string) bool { return strings.EqualFold(offer, name) })
}
