// Package caddycallback takes asynchronous callbacks off the hands of the apps
// behind Caddy. It holds no code: importing it registers the directives, the
// modules and the embedded store, so that
//
//	xcaddy build --with github.com/caddy-callback/caddy-callback
//
// is all that a user needs.
package caddycallback

import (
	_ "github.com/caddy-callback/caddy-callback/caddyfile"
	_ "github.com/caddy-callback/caddy-callback/module"
	_ "github.com/caddy-callback/caddy-callback/module/store/badger"
)
