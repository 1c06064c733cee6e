package verify

import (
	"fmt"
	"strings"
)

// splitStripe takes a header like "t=1492774577,v1=...,v1=...,v0=..." apart. Two times are refused:
// Stripe's libraries disagree about which of them counts.
func splitStripe(value string) (s shown, err error) {
	timed := false
	for entry := range strings.SplitSeq(value, ",") {
		switch name, text, ok := strings.Cut(entry, "="); {
		case !ok:
			return shown{}, fmt.Errorf("%w: the header Stripe-Signature has an entry without =", ErrMalformed)
		case name == "t" && timed:
			return shown{}, fmt.Errorf("%w: the header Stripe-Signature has two times", ErrGivenTwice)
		case name == "t":
			s.timestamp, timed = text, true
		case name == "v1":
			s.signatures = append(s.signatures, text)
		}
	}
	switch {
	case !timed:
		return shown{}, fmt.Errorf("%w: the header Stripe-Signature has no time", ErrMalformed)
	case len(s.signatures) == 0:
		return shown{}, fmt.Errorf("%w: the header Stripe-Signature has no signature of version v1", ErrMalformed)
	}
	return s, nil
}
