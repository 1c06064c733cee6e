package hold

import (
	"strings"
	"testing"
)

func TestAckDependsOnTheMethodUnlessConfigured(t *testing.T) {
	for _, c := range []struct {
		ack      string
		method   string
		accepted []int
		not      []int
	}{
		{"", "POST", []int{200, 201, 202, 204, 299}, []int{199, 300, 302, 404, 500}},
		{"", "PUT", []int{200, 202}, []int{304}},
		{"", "DELETE", []int{204}, []int{404}},
		{"", "GET", []int{202}, []int{200, 201, 203, 204, 302}},
		{"", "HEAD", []int{202}, []int{200, 204}},
		{"", "OPTIONS", []int{202}, []int{200, 204}},
		{"", "TRACE", []int{202}, []int{200}},
		{"", "QUERY", []int{202}, []int{200, 201, 204}},
		{"202", "POST", []int{202}, []int{200, 201, 203}},
		{"202", "GET", []int{202}, []int{200}},
		{"2xx", "GET", []int{200, 204, 299}, []int{199, 300}},
		{"200 3XX 418", "GET", []int{200, 300, 399, 418}, []int{201, 299, 400, 417, 419}},
		{"5xx", "POST", []int{500, 502, 599}, []int{200, 499}},
	} {
		h := new(Handler)
		for s := range strings.FieldsSeq(c.ack) {
			r, err := parseAck(s)
			if err != nil {
				t.Fatal(err)
			}
			h.acks = append(h.acks, r)
		}
		for _, status := range c.accepted {
			if !h.accepts(c.method, status) {
				t.Errorf("ack %q, %s: %d is no ack", c.ack, c.method, status)
			}
		}
		for _, status := range c.not {
			if h.accepts(c.method, status) {
				t.Errorf("ack %q, %s: %d is an ack", c.ack, c.method, status)
			}
		}
	}
}

func TestAckThatIsNoStatusIsRefused(t *testing.T) {
	for _, s := range []string{"", "xx", "0xx", "1xx", "6xx", "22xx", "2x", "2xxx", "xx2", "199", "600", "-200", "20", "2e2", "two", "2xx,3xx", " 202"} {
		if r, err := parseAck(s); err == nil {
			t.Errorf("%q means %v", s, r)
		}
	}
}
