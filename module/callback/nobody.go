package callback

// NobodysURL returns a callback URL that no callback has, below a base URL without a slash at its
// end.
func NobodysURL(base string) string { return callbackURL(base, "", NewUUID()) }
