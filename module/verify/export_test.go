package verify

// NewShort returns a verifier for one of the published examples of Twilio, whose secret is shorter
// than a real one.
func NewShort(secret string) *Verifier {
	return &Verifier{ways: table[Twilio], seal: mac{key: []byte(secret)}}
}

// MaxURLs is how many URLs are tried.
const MaxURLs = maxURLs
