//go:build failpoint

// Package failpoint lets tests interrupt the server at a named point, and set its
// clock. It does nothing, and costs nothing, unless it is built with the tag
// failpoint.
package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Enabled says whether points do anything.
const Enabled = true

// variable names a point and what happens the first time that it is hit: POINT=kill,
// POINT=error, or POINT=delay, which waits for a second.
const variable = "CALLBACK_FAILPOINT"

// clock names a file that holds how far the clock is set forward, for example -1h.
const clock = "CALLBACK_CLOCK"

const delay = time.Second

var once sync.Once

// Hit is called at a point. If it returns an error, the caller must fail with it.
func Hit(name string) (err error) {
	point, action, _ := strings.Cut(os.Getenv(variable), "=")
	if name != point {
		return nil
	}
	once.Do(func() {
		fmt.Fprintln(os.Stderr, "failpoint", name)
		err = act(action)
	})
	return err
}

func act(action string) error {
	switch action {
	case "kill":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			panic(err)
		}
		// Wait until the process is dead.
		select {}
	case "delay":
		time.Sleep(delay)
		return nil
	}
	return errors.New("failpoint")
}

// Now returns the time of the system's clock, as far ahead as it is set.
func Now() time.Time { return time.Now().Round(0).Add(ahead()) }

// ahead returns how far the clock is set forward.
func ahead() time.Duration {
	file := os.Getenv(clock)
	if file == "" {
		return 0
	}
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	ahead, err := time.ParseDuration(string(text))
	if err != nil {
		panic(err)
	}
	return ahead
}
