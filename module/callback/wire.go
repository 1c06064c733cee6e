package callback

import (
	"net/http"
	"strings"
)

// DefaultHeaderPrefix begins the names of the wire headers.
const DefaultHeaderPrefix = "X-Link-"

// Values of the status header, compared without regard to case.
const (
	StatusOk     = "Ok"
	StatusFailed = "Failed"
)

// Wire holds the names of the wire headers, in canonical form.
type Wire struct {
	CorrelationID   string
	CallbackURL     string
	Status          string
	DocumentStatus  string
	TechnicalStatus string
	ErrorCode       string
	ErrorText       string
	ResultStatus    string
}

// NewWire returns the header names that begin with prefix.
func NewWire(prefix string) Wire {
	name := func(suffix string) string { return http.CanonicalHeaderKey(prefix + suffix) }
	return Wire{
		CorrelationID:   name("Correlation-Id"),
		CallbackURL:     name("Callback-Url"),
		Status:          name("Status"),
		DocumentStatus:  name("Document-Status"),
		TechnicalStatus: name("Technical-Status"),
		ErrorCode:       name("Error-Code"),
		ErrorText:       name("Error-Text"),
		ResultStatus:    name("Result-Status"),
	}
}

// Names returns all names.
func (w Wire) Names() []string {
	return []string{w.CorrelationID, w.CallbackURL, w.Status, w.DocumentStatus, w.TechnicalStatus, w.ErrorCode, w.ErrorText, w.ResultStatus}
}

var hyphens = strings.NewReplacer("_", "-", ".", "-")

// PlainHeader returns one name for all spellings of a header that some servers treat as
// equal: in any case, and with underscores or dots in place of hyphens.
func PlainHeader(name string) string { return http.CanonicalHeaderKey(hyphens.Replace(name)) }

// Speaks reports whether name is a wire header, in any case, and also if it is spelled
// with underscores or dots, which some servers treat as hyphens.
func (w Wire) Speaks(name string) bool {
	plain := hyphens.Replace(name)
	for _, own := range w.Names() {
		if len(own) == len(name) && strings.EqualFold(hyphens.Replace(own), plain) {
			return true
		}
	}
	return false
}
