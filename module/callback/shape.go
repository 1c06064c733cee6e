package callback

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Shape says how results are delivered, other than as they are. It is stored with the
// policy, so that each attempt sends the same, whatever becomes of the configuration.
type Shape struct {
	// Method is the method of a delivery; empty for POST.
	Method string `cbor:"1,keyasint,omitempty"`
	// Body is what is delivered in place of the body of a result, with placeholders; empty
	// for that body.
	Body string `cbor:"2,keyasint,omitempty"`
	// Format is the format of a delivery: FormatCloudEvents, or empty for none.
	Format string `cbor:"3,keyasint,omitempty"`
	// Progress says that calls that are not the answer yet are delivered, too.
	Progress bool `cbor:"4,keyasint,omitempty"`
}

// FormatCloudEvents is the format of deliveries that are events of CloudEvents 1.0, in binary
// mode.
const FormatCloudEvents = "cloudevents"

var deliveryMethods = []string{http.MethodPost, http.MethodPut, http.MethodPatch}

// Check makes sure that results can be delivered in the shape. Errors begin with the option.
func (s *Shape) Check() error {
	if s.Method != "" && !slices.Contains(deliveryMethods, s.Method) {
		return fmt.Errorf("method: %q is not one that a result is delivered with; write %s", s.Method, strings.Join(deliveryMethods, ", "))
	}
	if s.Format != "" && s.Format != FormatCloudEvents {
		return fmt.Errorf("format: %q is not known; write plain or %s", s.Format, FormatCloudEvents)
	}
	if _, err := s.envelope(); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// envelope returns what is delivered in place of the body of a result; nil for that body.
func (s *Shape) envelope() (*Envelope, error) {
	if s == nil || s.Body == "" {
		return nil, nil
	}
	return NewEnvelope(s.Body)
}

// method returns the method of a delivery.
func (s *Shape) method() string {
	if s == nil {
		return http.MethodPost
	}
	return cmp.Or(s.Method, http.MethodPost)
}

// DeliveryMethod returns the method with which results are delivered.
func (p *Policy) DeliveryMethod() string { return p.Shape.method() }

// Envelope returns what is delivered in place of the body of a result; nil for that body.
func (p *Policy) Envelope() *Envelope { return p.envelope }

// DeliversEvents reports whether deliveries are events of CloudEvents.
func (p *Policy) DeliversEvents() bool { return p.Shape != nil && p.Shape.Format == FormatCloudEvents }

// DeliversProgress reports whether calls that are not the answer yet are delivered.
func (p *Policy) DeliversProgress() bool { return p.Shape != nil && p.Shape.Progress }

// deliveryPlaceholders are the placeholders {http.callback.<name>} that can stand in the
// headers of a delivery.
var deliveryPlaceholders = []struct {
	name  string
	value func(*Record) string
}{
	{"id", func(r *Record) string { return r.ID.String() }},
	{"correlation_id", (*Record).deliveredCorrelationID},
	{"name", func(r *Record) string { return r.Name }},
}

// deliveredCorrelationID returns the correlation id that a delivery carries.
func (r *Record) deliveredCorrelationID() string {
	if r.Delivery == nil {
		return r.CorrelationID
	}
	return cmp.Or(r.Delivery.CorrelationID, r.CorrelationID)
}

// DeliveryPlaceholders returns the names of the placeholders that can stand in the headers of
// a delivery, without their prefix.
func DeliveryPlaceholders() []string {
	names := make([]string, len(deliveryPlaceholders))
	for i, p := range deliveryPlaceholders {
		names[i] = p.name
	}
	return names
}

// DeliveryPlaceholder returns the value of such a placeholder.
func (r *Record) DeliveryPlaceholder(name string) (value string, ok bool) {
	for _, p := range deliveryPlaceholders {
		if p.name == name {
			return p.value(r), true
		}
	}
	return "", false
}
