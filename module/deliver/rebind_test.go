package deliver_test

import (
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/deliver"
)

func TestTheGuardRefusesPrivateAddressesThatANameLeadsTo(t *testing.T) {
	if _, err := (deliver.Guard{}).CheckURL("https://partner.test/"); err != nil {
		t.Fatal(err)
	}
	for _, address := range privateAddresses {
		addr := netip.MustParseAddr(address)
		if addr.Unmap().Is6() && !hasIPv6() {
			continue
		}
		c := client(t, deliver.Options{Resolver: resolver(always(addr))})
		got := c.Send(t.Context(), message("https://partner.test/"))
		if got.Kind != deliver.Refused || got.Error != "address not allowed" {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

// hasIPv6 reports whether there can be IPv6 sockets at all.
func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::]:0")
	return err == nil && l.Close() == nil
}

func TestTheGuardChecksAnAddressEachTimeItIsConnectedTo(t *testing.T) {
	s, got := oldServer(t, answerStatus(http.StatusOK))
	o := trusting(t, s)
	o.Guard.Allow = allow(t, "127.0.0.1")
	var flipped atomic.Bool
	o.Resolver = resolver(func() []netip.Addr {
		if flipped.Load() {
			return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	})
	c := client(t, o)
	ends(t, c.Send(t.Context(), message(named(t, s))), deliver.Delivered, "")

	flipped.Store(true)
	c.Close()
	ends(t, c.Send(t.Context(), message(named(t, s))), deliver.Refused, "address not allowed")

	flipped.Store(false)
	ends(t, c.Send(t.Context(), message(named(t, s))), deliver.Delivered, "")
	if len(got) != 2 {
		t.Errorf("%d requests came", len(got))
	}
}

func TestAPrivateAddressAmongAllowedOnesIsLeftOut(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	o := trusting(t, s)
	o.Guard.Allow = allow(t, "127.0.0.1")
	o.Resolver = resolver(always(netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fd00:ec2::254")))
	ends(t, client(t, o).Send(t.Context(), message(named(t, s))), deliver.Delivered, "")
	if len(got) != 1 {
		t.Errorf("%d requests came", len(got))
	}
}

func TestANameIsAllowedOnItsPortOnly(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for text, kind := range map[string]deliver.Kind{
		partner:                deliver.Delivered,
		partner + ":" + port:   deliver.Delivered,
		partner + ":1":         deliver.Refused,
		"127.0.0.1:" + port:    deliver.Delivered,
		"127.0.0.1:1":          deliver.Refused,
		"127.0.0.0/8":          deliver.Delivered,
		"www." + partner:       deliver.Refused,
		"http://" + partner:    deliver.Delivered,
		"http://127.0.0.1:1":   deliver.Refused,
		"[::ffff:127.0.0.1]:1": deliver.Refused,
	} {
		o := trusting(t, s)
		o.Guard.Allow = allow(t, text)
		if outcome := client(t, o).Send(t.Context(), message(named(t, s))); outcome.Kind != kind {
			t.Errorf("with %s allowed: %+v", text, outcome)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d requests came", len(got))
	}
}

func TestAURLIsCheckedAgainWhenItIsSentTo(t *testing.T) {
	s, got := server(t, answerStatus(http.StatusOK))
	for _, url := range []string{s.URL, "http://example.com/", "https://localhost/", "", "\x00", "https://[fe80::1%25lo]/"} {
		o := trusting(t, s)
		o.Guard.Allow = nil
		ends(t, client(t, o).Send(t.Context(), message(url)), deliver.Refused, "address not allowed")
	}
	if len(got) != 0 {
		t.Errorf("%d requests came", len(got))
	}
}

func TestANameIsTakenAsItIsLookedUp(t *testing.T) {
	s, _ := server(t, answerStatus(http.StatusOK))
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ends(t, client(t, trusting(t, s)).Send(t.Context(), message("https://EXAMPLE。com.:"+port)), deliver.Delivered, "")
}
