// Command faults runs the tests of faults, one after the other and as long as before
// a release, and prints their figures as a table:
//
//	go run ./integration/faults
//	go run ./integration/faults -only crashes,races
//
// It runs for about three hours. It exits with code 1 if a test fails, and shows that
// test's output.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"
)

// fault is one row of the table.
type fault struct {
	name string
	// pkg and run are what "go test" is to run; args are for the test itself.
	pkg, run string
	args     []string
}

const (
	whole = "./integration"
	store = "./module/store/badger"
	nodes = "./module/store/postgres"
)

var faults = []fault{
	{"crashes", whole, "TestNothingAcknowledgedIsLostInCrashes", []string{"-crashes", "1000"}},
	{"points", whole, "TestCrashAtEveryStep|TestExitInTheMiddle|TestCommitThatFails", nil},
	{"power", whole, "TestPowerCut", []string{"-cuts", "50"}},
	{"races", whole, "TestRacesForACallback", []string{"-races", "100000"}},
	{"reloads", whole, "TestReloadStorm", []string{"-storm", "200"}},
	{"exit", whole, "TestExitAnswers|TestTermination", nil},
	{"disk", whole, "TestFullDisk|TestDisk|TestSlowDisk|TestShortage|TestStoreThatCannotBeOpened", nil},
	{"damage", store, "TestDamage|TestLost|TestLog|TestEveryFlipped|TestEveryCut", nil},
	{"strangers", whole, "TestThousandConnections|TestUpstreamThatFloods", nil},
	{"clock", whole, "TestClockThatIsSet", nil},
	{"many", whole, "TestManyAreHeld", []string{"-many", "18000", "-many-h2c", "50000", "-many-last", "10m"}},
	{"nodes killed", whole, "TestNodesThatAreKilled|TestWorkOfANodeThatIsKilled", []string{"-node-kills", "1000"}},
	{"nodes away", whole, "TestNodesThatArePaused|TestNodeThatWasAway", []string{"-node-pauses", "20"}},
	{"database killed", whole, "TestDatabaseThatIsKilled", []string{"-database-kills", "20"}},
	{"database cut off", whole, "TestNodeThatIsCutOff", nil},
	{"broken connections", nodes, "TestBrokenConnections", []string{"-breaks", "10000"}},
	{"failover", whole, "TestFailover", []string{"-failovers", "10"}},
	{"nodes soak", whole, "TestSoakOfNodes", []string{"-soak-nodes", "30m"}},
	{"soak", whole, "TestSoakStays", []string{"-soak", "30m"}},
}

func main() {
	log.SetFlags(0)
	only := flag.String("only", "", "names of rows, separated by commas; all if it is empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen, err := choose(*only)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("| fault | took | figures |\n|---|---|---|")
	for _, f := range chosen {
		if err := f.test(ctx); err != nil {
			log.Fatal(err)
		}
	}
}

func choose(only string) ([]fault, error) {
	if only == "" {
		return faults, nil
	}
	var chosen []fault
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no row %q", name)
		}
		chosen = append(chosen, faults[i])
	}
	return chosen, nil
}

var (
	figures = regexp.MustCompile(`(?m)^ .*?figures: (.*)$`)
	passed  = regexp.MustCompile(`(?m)^--- PASS: (\w+)`)
	skipped = regexp.MustCompile(`(?m)^ *--- SKIP: (\S+)`)
)

// test runs the tests of a row and prints it.
func (f fault) test(ctx context.Context) error {
	args := append([]string{"test", "-count=1", "-v", "-timeout=3h", "-run", "^(" + f.run + ")", f.pkg, "-args"}, f.args...)
	began := time.Now()
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	text := string(out)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", f.name, err, text)
	}
	var said []string
	for _, m := range figures.FindAllStringSubmatch(text, -1) {
		said = append(said, m[1])
	}
	for name := range strings.SplitSeq(f.run, "|") {
		if !regexp.MustCompile(`(?m)^--- (PASS|SKIP): ` + name).MatchString(text) {
			return fmt.Errorf("%s: there is no test that begins with %s", f.name, name)
		}
	}
	if len(said) == 0 {
		said = append(said, fmt.Sprintf("%d tests passed", len(passed.FindAllString(text, -1))))
	}
	for _, m := range skipped.FindAllStringSubmatch(text, -1) {
		said = append(said, "NOT RUN on this machine: "+m[1])
	}
	fmt.Printf("| %s | %v | %s |\n", f.name, time.Since(began).Round(time.Second), strings.Join(said, "<br>"))
	return nil
}
