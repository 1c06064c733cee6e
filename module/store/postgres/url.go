package postgres

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// errURL: the database cannot be found by what is given.
var errURL = errors.New("the URL of the database cannot be read; write one like postgres://caddy@db.example.com/callback")

// connectionString checks a URL. Where it says nothing of TLS, the certificate of a server on
// another machine is verified.
func connectionString(option, text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fmt.Errorf("%s: %w", option, errURL)
	}
	q := u.Query()
	if _, has := u.User.Password(); has || q.Has("password") {
		return "", fmt.Errorf("%s holds a password, which logs and the configuration would show: give it as password {env.NAME} or password {file.PATH}", option)
	}
	p, err := pgx.ParseConfig(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", option, errURL)
	}
	local := isLocal(p.Host)
	for _, f := range p.Fallbacks {
		local = local && isLocal(f.Host)
	}
	if q.Has("sslmode") {
		return text, nil
	}
	// What the environment says of it does not count.
	q.Set("sslmode", "verify-full")
	if local {
		q.Set("sslmode", "prefer")
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String(), nil
}

// isLocal reports whether a host is this machine.
func isLocal(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
