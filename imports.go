// Package caddycallback takes asynchronous callbacks off the hands of the apps
// behind Caddy. It holds no code: importing it registers the directives, the
// modules and the stores, so that
//
//	xcaddy build --with github.com/caddy-callback/caddy-callback
//
// is all that a user needs.
package caddycallback

import (
	_ "github.com/caddy-callback/caddy-callback/caddyfile"
	_ "github.com/caddy-callback/caddy-callback/module/api"
	_ "github.com/caddy-callback/caddy-callback/module/app"
	_ "github.com/caddy-callback/caddy-callback/module/command"
	_ "github.com/caddy-callback/caddy-callback/module/dashboard"
	_ "github.com/caddy-callback/caddy-callback/module/hold"
	_ "github.com/caddy-callback/caddy-callback/module/server"
	_ "github.com/caddy-callback/caddy-callback/module/store/badger"
	_ "github.com/caddy-callback/caddy-callback/module/store/postgres"
)
