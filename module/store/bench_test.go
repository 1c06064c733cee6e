package store_test

import (
	"testing"

	"github.com/caddy-callback/caddy-callback/module/store"
)

func BenchmarkEncodeRecord(b *testing.B) {
	r := richRecord()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.EncodeRecord(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPolicyOf(b *testing.B) {
	encoded := encode(b, richRecord())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.PolicyOf(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	encoded := encode(b, richRecord())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.DecodeRecord(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
