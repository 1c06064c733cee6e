package callback_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/caddy-callback/caddy-callback/module/callback"
)

const (
	documentHeader  = "X-Link-Document-Status"
	technicalHeader = "X-Link-Technical-Status"
	codeHeader      = "X-Link-Error-Code"
	textHeader      = "X-Link-Error-Text"
)

func TestCallWithStatusFailedFailsTheCallback(t *testing.T) {
	everything := []string{documentHeader, "Rejected", codeHeader, "E42", textHeader, "no stock"}
	for name, c := range map[string]struct {
		lines []string
		want  callback.Failure
	}{
		"nothing more":    {nil, callback.Failure{DocumentStatus: "Failed"}},
		"everything":      {everything, callback.Failure{DocumentStatus: "Failed", TechnicalStatus: "Rejected", ErrorCode: "E42", ErrorText: "no stock"}},
		"code only":       {[]string{codeHeader, "E42"}, callback.Failure{DocumentStatus: "Failed", ErrorCode: "E42"}},
		"control letters": {[]string{textHeader, "a\x00b\x1b[31mc\x7fd\u0085e\tf"}, callback.Failure{DocumentStatus: "Failed", ErrorText: "ab[31mcdef"}},
		"no UTF-8":        {[]string{textHeader, "a\xffb"}, callback.Failure{DocumentStatus: "Failed", ErrorText: "a\uFFFDb"}},
		"first line only": {[]string{codeHeader, "E1", codeHeader, "E2"}, callback.Failure{DocumentStatus: "Failed", ErrorCode: "E1"}},
		"our own header":  {[]string{technicalHeader, "spoofed"}, callback.Failure{DocumentStatus: "Failed"}},
	} {
		for _, status := range []string{"Failed", "failed", "FAILED", "fAiLeD"} {
			p := compiled(t, callback.Policy{})
			next := accept(t, waiting(p), p, newCall("POST", "why", append([]string{statusHeader, status}, c.lines...)...))
			if next.Phase != callback.Failed || *next.Failure != c.want {
				t.Errorf("%s, %s: %s %+v", name, status, next.Phase, *next.Failure)
			}
			if next.Reply.Status != callback.DefaultReplyStatus {
				t.Errorf("%s: the partner is answered %d", name, next.Reply.Status)
			}
		}
	}
}

func TestErrorTextIsCutBetweenLetters(t *testing.T) {
	two, four := strings.Repeat("ä", 3000), strings.Repeat("😀", 1000)
	for _, long := range []string{strings.Repeat("x", 5000), two, "x" + two, four, "xxx" + four} {
		p := compiled(t, callback.Policy{})
		next := accept(t, waiting(p), p, newCall("POST", "", statusHeader, "Failed", textHeader, long))
		got := next.Failure.ErrorText
		if len(got) > 1024 || len(got) < 1020 || !utf8.ValidString(got) || !strings.HasPrefix(long, got) {
			t.Errorf("%d bytes: %q...", len(got), got[:20])
		}
	}
}

func TestAnyErrorTextCanStandInAHeader(t *testing.T) {
	p := compiled(t, callback.Policy{})
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		c := newCall("POST", "", statusHeader, "Failed", textHeader, text, codeHeader, text, documentHeader, text)
		v := receive(waiting(p), p, c, born)
		for _, got := range []string{v.Next.Failure.ErrorText, v.Next.Failure.ErrorCode, v.Next.Failure.TechnicalStatus} {
			if len(got) > 1024 || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
				t.Fatalf("%q", got)
			}
		}
	})
}
