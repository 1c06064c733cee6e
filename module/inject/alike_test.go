package inject

import "testing"

func TestParameterThatReadersTakeForTheSameGoes(t *testing.T) {
	for raw, want := range map[string]string{
		"callback_url=a&callback.url=b":         "callback_url=v",
		"callback.url=b":                        "callback_url=v",
		"callback+url=b&x=1":                    "x=1&callback_url=v",
		"callback%20url=b&x=1":                  "x=1&callback_url=v",
		"callback[url=b":                        "callback_url=v",
		"callback_url[]=b":                      "callback_url=v",
		"callback_url%5Ba%5D%5Bb%5D=b":          "callback_url=v",
		"+callback_url=b":                       "callback_url=v",
		"[callback_url]=b":                      "callback_url=v",
		"%5Bcallback%5Furl%5D[a]=b&x=1":         "x=1&callback_url=v",
		"[callback_url=b&[callback_urls]=c":     "[callback_url=b&[callback_urls]=c&callback_url=v",
		"callback_url%00x=b":                    "callback_url=v",
		"callback%5Furl[%zz]=b":                 "callback_url=v",
		"callback%2Eurl%00%=b":                  "callback_url=v",
		"callback+url%5B%u0041=b&x%=1":          "x%=1&callback_url=v",
		"callback%5Furl%zz=b":                   "callback%5Furl%zz=b&callback_url=v",
		"x=1;callback_url=b":                    "x=1&callback_url=v",
		"x=1;callback.url=b;y=2":                "x=1;y=2&callback_url=v",
		"callback_urls=b&callback_ur=c&[]=d":    "callback_urls=b&callback_ur=c&[]=d&callback_url=v",
		"xcallback_url=b&a[callback_url]=c&d;e": "xcallback_url=b&a[callback_url]=c&d;e&callback_url=v",
		"callback-url=b":                        "callback-url=b&callback_url=v",
	} {
		if got := SetQuery(raw, "callback_url", "v"); got != want {
			t.Errorf("%s becomes %s, want %s", raw, got, want)
		}
		if got := string(SetForm(nil, []byte(raw), "callback_url", "v")); got != want {
			t.Errorf("the form %s becomes %s, want %s", raw, got, want)
		}
	}
	if got := SetQuery("callback_url=b", "callback.url", "v"); got != "callback.url=v" {
		t.Errorf("the other way round: %s", got)
	}
}
