package app

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-callback/caddy-callback/module/app/apptest"
	_ "github.com/caddy-callback/caddy-callback/module/store/badger"
)

func TestAppRefusesWhatMakesNoSense(t *testing.T) {
	t.Setenv("CALLBACK_TEST_EMPTY", "")
	for config, want := range map[string]string{
		`{"base_url":"app.example.com"}`:                                            "base_url",
		`{"base_url":"{env.CALLBACK_TEST_EMPTY}"}`:                                  "base_url",
		`{"base_url":"https://{http.request.host}"}`:                                "base_url",
		`{"base_url":"https://a.example/b c"}`:                                      "base_url",
		`{"base_url":"https://a.example:x"}`:                                        "base_url",
		`{"base_url":"https://a.example:"}`:                                         "base_url",
		`{"base_url":"https://a.example:0"}`:                                        "base_url",
		`{"base_url":"https://[::1]:65536"}`:                                        "base_url",
		`{"base_url":"https://ä..example"}`:                                         "base_url",
		`{"base_url":"https://a.example/./b"}`:                                      "base_url",
		`{"base_url":"https://a.example/b//c"}`:                                     "base_url",
		`{"base_url":"https://a.example/%2e%2e/"}`:                                  "base_url",
		`{"base_url":7}`:                                                            "base_url",
		`{"status_url":"https://a.example?b"}`:                                      "status_url",
		`{"status_url":"{env.CALLBACK_TEST_EMPTY}"}`:                                "status_url",
		`{"header_prefix":"X Link-"}`:                                               "header_prefix",
		`{"header_prefix":"X-Link"}`:                                                "header_prefix",
		`{"max_body_size":-1}`:                                                      "max_body_size",
		`{"max_body_size":300000000}`:                                               "max_body_size",
		`{"max_memory":-1}`:                                                         "max_memory",
		`{"max_memory":1024}`:                                                       "max_memory",
		`{"max_waiting":-1}`:                                                        "max_waiting",
		`{"max_waiting":"many"}`:                                                    "max_waiting",
		`{"max_held":-1}`:                                                           "max_held",
		`{"max_held":1.5}`:                                                          "max_held",
		`{"retain":"-1h"}`:                                                          "retain",
		`{"retain":"ever"}`:                                                         "duration",
		`{"store":{"store":"nothing"}}`:                                             "store",
		`{"store":{}}`:                                                              "store",
		`{"store":{"store":"badger","size":1}}`:                                     "size",
		`{"store":{"store":"badger","min_free":1}}`:                                 "min_free",
		`{"store":{"store":"badger","secret":"short"}}`:                             "secret",
		`{"store":{"store":"badger","secret":"{env.CALLBACK_TEST_EMPTY}"}}`:         "secret",
		`{"store":{"store":"badger","encryption_key":"00"}}`:                        "encryption_key",
		`{"store":{"store":"badger","encryption_key":"{env.CALLBACK_TEST_EMPTY}"}}`: "encryption_key",
		`{"store":{"store":"badger","dir":"{env.CALLBACK_TEST_EMPTY}"}}`:            "dir",
		`{"bas_url":"https://a.example"}`:                                           "bas_url",
	} {
		_, err := apptest.NewContext(t, config).App("callback")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", config, err)
		}
	}
}

func TestAppHasDefaults(t *testing.T) {
	loaded, err := apptest.NewContext(t, "").App("callback")
	if err != nil {
		t.Fatal(err)
	}
	a := loaded.(*App)
	if a.MaxBodySize != 10<<20 || a.MaxMemory != 256<<20 || a.MaxWaiting != 1_000_000 || a.MaxHeld != 50_000 ||
		time.Duration(a.Retain) != 24*time.Hour || a.HeaderPrefix != "X-Link-" || a.BaseURL != "" {
		t.Errorf("the defaults are %+v", a)
	}
	if !strings.HasPrefix(a.identity, "badger:/") {
		t.Errorf("the store is %s", a.identity)
	}
}
