package callback_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

func TestStateAndTicketDifferAndAreStable(t *testing.T) {
	id := callback.NewUUID()
	state, ticket := secret.State(id), secret.Ticket(id)
	if state == ticket || state == id || ticket == id {
		t.Errorf("id %s, state %s and ticket %s must differ", id, state, ticket)
	}
	again := secret
	if again.State(id) != state || again.Ticket(id) != ticket {
		t.Error("the same secret and id must give the same state and ticket")
	}
}

func TestStateAndTicketDifferBetweenSecretsAndIDs(t *testing.T) {
	one, other := callback.NewSecret(), callback.NewSecret()
	id := callback.NewUUID()
	if one.State(id) == other.State(id) || one.Ticket(id) == other.Ticket(id) {
		t.Error("another secret gave the same state or ticket")
	}
	if one.State(id) == one.State(callback.NewUUID()) || one.Ticket(id) == one.Ticket(callback.NewUUID()) {
		t.Error("another id gave the same state or ticket")
	}
}

func TestStateAndTicketAreVersion4UUIDs(t *testing.T) {
	for range 200 {
		id := callback.NewUUID()
		for _, u := range []callback.UUID{secret.State(id), secret.Ticket(id)} {
			if back, ok := callback.ParseUUID(u.String()); !ok || back != u {
				t.Fatalf("%s is no canonical UUID", u)
			}
		}
	}
}

// The values were computed with another HMAC implementation. URLs that partners
// hold depend on them.
func TestDerivationStaysAsItWas(t *testing.T) {
	id, _ := callback.ParseUUID(aUUID)
	if got := secret.State(id).String(); got != "f6a24732-2a9f-4167-8e14-edebbcb3afa0" {
		t.Errorf("state is %s", got)
	}
	if got := secret.Ticket(id).String(); got != "31d4fb29-fff8-496d-a6f1-0f5c216c9520" {
		t.Errorf("ticket is %s", got)
	}
}

func TestProofIsOfOneClientAndOneCallback(t *testing.T) {
	id, other := callback.NewUUID(), callback.NewUUID()
	proof := secret.Proof(id, "a client")
	if back, ok := callback.ParseUUID(proof.String()); !ok || back != proof || proof != secret.Proof(id, "a client") {
		t.Errorf("%s is no proof", proof)
	}
	for _, u := range []callback.UUID{secret.Proof(id, "another"), secret.Proof(id, ""), secret.Proof(other, "a client"), secret.State(id), secret.Ticket(id), id} {
		if u == proof {
			t.Errorf("%s proves something else, too", u)
		}
	}
	changed := callback.NewSecret()
	if changed.Proof(id, "a client") == proof {
		t.Error("another secret gives the same proof")
	}
	if gone := (callback.Issued{Record: &callback.Record{ID: id}}).Proof("a client"); !gone.IsZero() {
		t.Errorf("without a secret the proof is %s", gone)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	s := callback.NewSecret()
	holder := struct{ Secret callback.Secret }{s}
	for _, got := range []string{fmt.Sprint(s), fmt.Sprint(&s), fmt.Sprintf("%v %+v", s, &s), fmt.Sprint(holder)} {
		if strings.Contains(got, fmt.Sprint(s[0], " ", s[1])) || !strings.Contains(got, "[secret]") {
			t.Errorf("printed as %s", got)
		}
	}
}
