package hold

import (
	"encoding/json"
	"net"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// hostsOf returns the hosts that the proxies in routes send to, as far as the configuration
// names them. The routes must not be provisioned yet.
func hostsOf(routes caddyhttp.RouteList) (hosts []string) {
	for _, route := range routes {
		for _, raw := range route.HandlersRaw {
			var handler any
			if json.Unmarshal(raw, &handler) == nil {
				hosts = append(hosts, dialsIn(handler)...)
			}
		}
	}
	return hosts
}

// allowed returns hosts that are configured as URLs are compared with them.
func allowed(hosts []string) []string {
	small := make([]string, len(hosts))
	for i, host := range hosts {
		small[i] = strings.ToLower(host)
	}
	return small
}

// dialsIn returns the hosts of all upstreams in a handler's configuration.
func dialsIn(config any) (hosts []string) {
	switch c := config.(type) {
	case []any:
		for _, v := range c {
			hosts = append(hosts, dialsIn(v)...)
		}
	case map[string]any:
		for name, v := range c {
			if dial, ok := v.(string); ok && name == "dial" {
				if host, _, err := net.SplitHostPort(dial); err == nil {
					hosts = append(hosts, strings.ToLower(host))
				}
				continue
			}
			hosts = append(hosts, dialsIn(v)...)
		}
	}
	return hosts
}
