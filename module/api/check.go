package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/config"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// check makes sure that the fields are valid, each one and together.
func (c *creation) check(a *app.App) error {
	for _, field := range []struct {
		name  string
		check func(*app.App) error
	}{
		{"alternativeDomain", c.checkDomain}, {"", c.checkPolicy}, {"", c.checkReply}, {"responseRedirectUrl", c.checkRedirect},
		{"callbackActivity", c.checkActivity}, {"callbackActivityCase", c.checkCase},
		{"correlationId", c.checkCorrelation}, {"deliverTo", c.checkDelivery},
	} {
		if err := field.check(a); err != nil {
			return invalidField(field.name, err)
		}
	}
	return nil
}

// policyFields are the API's names for the options of a policy, and inFields replaces
// the options' names by them in a text.
var (
	policyFields = map[string]string{"state_query": "stateQueryParameter", "key": "includeApiKey"}
	inFields     = strings.NewReplacer("state_query", "stateQueryParameter", "key include", "includeApiKey")
)

// invalidField returns the problem of an invalid field. An error of type callback.Unfit
// says itself which field it is about.
func invalidField(name string, err error) error {
	var unfit *callback.Unfit
	if errors.As(err, &unfit) {
		name, err = cmp.Or(policyFields[unfit.Option], unfit.Option), errors.New(inFields.Replace(unfit.Err.Error()))
	}
	return problem.InvalidField(name, problem.Sentence(err))
}

func (c *creation) checkDomain(a *app.App) error {
	switch domain := c.alternativeDomain; {
	case domain == "" && a.BaseURL == "":
		return errors.New("it is needed: the server has no address of its own for callbacks")
	case domain == "":
		return nil
	case strings.ContainsAny(domain, "{}"):
		return errors.New("it has a character that no URL can hold")
	case !strings.HasPrefix(domain, "https://") && !strings.HasPrefix(a.BaseURL, "http://"):
		return errors.New("it must begin with https://")
	case len(domain) > maxDomain:
		return fmt.Errorf("it is longer than %d bytes", maxDomain)
	}
	return config.CheckBase(c.alternativeDomain)
}

// Bounds on the texts of a request, in bytes.
const (
	maxDomain   = 1 << 10
	maxActivity = 1 << 10
	maxCase     = 1 << 10
)

// checkPolicy checks the policy together with what the callback has instead of it.
func (c *creation) checkPolicy(a *app.App) error {
	whole := c.policy(a)
	whole.StateQuery = c.stateQuery
	return whole.Check()
}

// checkReply chooses the type of the reply if none is given, and checks the reply.
func (c *creation) checkReply(a *app.App) error {
	if c.responseType == "" {
		c.responseType = callback.TypeResponse
		if c.redirectURL != "" && c.body == "" && c.code == 0 {
			c.responseType = callback.TypeRedirect
		}
	}
	if err := c.fields().CheckAll(); err != nil || a.ActiveContent() {
		return err
	}
	return c.fields().CheckPassive()
}

func (c *creation) checkRedirect(a *app.App) error {
	if callback.LeadsBack(c.redirectURL, c.base(a)) || callback.LeadsBack(c.redirectURL, a.BaseURL) {
		return errors.New("it leads back to where callbacks are called, and there is no page for people; name one of your own pages")
	}
	return nil
}

// checkActivity turns an activity that is not a path into one, and checks the path.
func (c *creation) checkActivity(a *app.App) error {
	if c.activity == "" {
		return nil
	}
	if len(c.activity) > maxActivity {
		return fmt.Errorf("it is longer than %d bytes", maxActivity)
	}
	prefix := strings.TrimSuffix(a.AsksBelow(), "/")
	if !strings.HasPrefix(c.activity, "/") {
		c.activity = prefix + "/" + url.PathEscape(c.activity)
	}
	if config.CheckPath(c.activity) != nil || strings.Contains(c.activity, "#") || dotted(c.activity) {
		return errors.New("it must be a path without a query and without dotted parts, or a text that can become one")
	}
	if !callback.IsBelow(c.activity, prefix) {
		return fmt.Errorf("the app is asked only below %s/; leave the slash at the beginning out for a path there", prefix)
	}
	return nil
}

// maxEscapes bounds how often a path is unescaped to see where it leads.
const maxEscapes = 3

// dotted reports whether an escaped path has a part that is . or .. for one of the servers
// that read it: some unescape twice, take a backslash for a slash, or leave out what follows
// a semicolon.
func dotted(path string) bool {
	if _, err := url.PathUnescape(path); err != nil {
		return true
	}
	for range maxEscapes {
		for part := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
			if name, _, _ := strings.Cut(part, ";"); name == "." || name == ".." {
				return true
			}
		}
		plain, err := url.PathUnescape(path)
		if err != nil {
			return false
		}
		path = plain
	}
	return false
}

func (c *creation) checkCase(*app.App) error {
	if len(c.activityCase) > maxCase {
		return fmt.Errorf("it is longer than %d bytes", maxCase)
	}
	return nil
}

func (c *creation) checkCorrelation(*app.App) error {
	if c.correlationID != "" && !callback.ValidCorrelationID(c.correlationID) {
		return mustBe("at most 256 printable ASCII characters, with no space at either end")
	}
	return nil
}

func (c *creation) checkDelivery(a *app.App) error {
	if c.deliverTo == "" {
		return nil
	}
	return a.CheckDeliverTo(c.deliverTo, c.alternativeDomain)
}
