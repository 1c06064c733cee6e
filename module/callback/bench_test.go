package callback_test

import (
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func BenchmarkSecretState(b *testing.B) {
	secret, id := callback.NewSecret(), callback.NewUUID()
	b.ReportAllocs()
	for b.Loop() {
		secret.State(id)
	}
}

func BenchmarkNew(b *testing.B) {
	secret := callback.NewSecret()
	p := &callback.Policy{BaseURL: "https://app.example.com", Retain: time.Hour}
	if err := p.Compile(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		callback.New(&secret, p, callback.Spec{ExpiresIn: time.Hour}, 1)
	}
}
