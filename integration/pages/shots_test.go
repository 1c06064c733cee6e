package pages

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/caddy-callback/caddy-callback/integration/harness"
)

var (
	update  = flag.Bool("update", false, "take the pictures in docs/screenshots anew")
	passing = flag.Duration("for", 10*time.Minute, "for how long requests come before the pictures are taken")
)

// pictures is where the docs have them, and mostPicture how many bytes one has at most.
const (
	pictures    = "../../docs/screenshots"
	mostPicture = 150 << 10
)

// shots are the pictures that there are: each is light and dark.
var shots = []string{"now", "callbacks", "callback", "waiting", "decision", "problem"}

// The pictures of the docs are there, and no larger than they need be. With -update they are
// taken, from a run of the real server.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	if *update {
		takeShots(t)
	}
	for _, name := range shots {
		for _, scheme := range schemes {
			path := filepath.Join(pictures, name+"-"+scheme+".png")
			picture, err := os.ReadFile(path)
			if err != nil {
				t.Errorf("%v; take the pictures with: go test -run TestScreenshots -args -update", err)
				continue
			}
			if _, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || len(picture) > mostPicture {
				t.Errorf("%s has %d bytes (%v); at most %d", path, len(picture), err, mostPicture)
			}
		}
	}
}

// shoot takes a picture of the window in each scheme.
func (p *person) shoot(name string, width, height int64, scale float64) {
	p.t.Helper()
	for _, scheme := range schemes {
		p.setScheme(scheme)
		p.do(call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale}))
		picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			p.t.Fatal(err)
		}
		if err := os.MkdirAll(pictures, 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pictures, name+"-"+scheme+".png"), smaller(p.t, picture), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
}

// smaller packs a picture as far as that goes.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, decoded); err != nil {
		t.Fatal(err)
	}
	if b.Len() > len(picture) {
		return picture
	}
	return b.Bytes()
}

// shotSites is what the server of the pictures has.
const shotSites = `
callback /payments/* park {
	name payments
	correlation_id request header X-Order
}
callback /renders/* park {
	name renders
	correlation_id request header X-Order
}
callback /films/* park {
	name films
	message "Your film is being rendered."
	progress header X-Progress
	page {
		progress json percent
		progress json scene
	}
}
callback /approvals/* park {
	name approvals
	confirm {
		title "Pay {http.request.header.X-Amount}?"
		text "Asked for by {http.request.header.X-Who}, for order 1042."
		choice approve "Approve"
		choice reject "Reject" failed
	}
}
callback /reports/* hold 100ms {
	name reports
}
`

// takeShots runs a server for a while, and takes the pictures of what people see then.
func takeShots(t *testing.T) {
	t.Helper()
	s := newStage(t)
	// What the server takes for an hour ago comes before a restart: its clock stays what it is.
	s.SetClock(t, -time.Hour)
	s.begin(t, harness.Config{
		Callback: "deliver {\nallow 127.0.0.1 http://127.0.0.1\nretry 1ms\ntimeout 1s\n}\n",
		Private:  shotSites + s.toPartner(),
		Sites:    s.Site("desk", "callback_dashboard {\n\tkey off\n\ttitle \"Orders, production\"\n}"),
	})
	shown := s.create(t, `{"correlationId":"order-1003","deliverTo":"http://127.0.0.1:9/results","data":{"customer":42}}`)
	for n, ago := range []time.Duration{45 * time.Minute, 20 * time.Minute, 0} {
		s.order(t, "payments", 1010+n)
		s.order(t, "renders", 1020+n)
		s.Kill(t)
		s.SetClock(t, -ago)
		s.Start(t, s.cfg)
		if n == 1 {
			s.call(t, shown.CallbackURL, "application/json", `{"paid":true}`)
		}
	}
	s.passTime(t)
	p := comeTo(t, s.Caddy)
	p.open(deskURL)
	p.shoot("now", 1280, 900, 1)
	p.open(deskURL + "list")
	p.shoot("callbacks", 1280, 720, 1)
	p.open(deskURL + "callback/" + shown.ID)
	p.shoot("callback", 1280, 860, 1)
	path := "/films/1"
	p.open(appURL + path)
	s.call(t, s.called(t, path), "application/json", `{"percent":62,"scene":"Scene 5 of 8: the harbour at night"}`, progress...)
	p.wantText("62 %")
	p.shoot("waiting", 640, 420, 1.5)
	link, _ := s.ask(t, "/approvals/1", "1,250 EUR", "Ada Lovelace")
	p.open(link)
	p.wantTitle("Pay 1,250 EUR?")
	p.shoot("decision", 640, 420, 1.5)
	p.open(appURL + "/reports/1")
	p.wantTitle("The callback has not come in time.")
	p.shoot("problem", 640, 560, 1.5)
}

// order sends a request that is parked, and returns its callback URL.
func (s *stage) order(t *testing.T, name string, number int) (url string) {
	t.Helper()
	path := fmt.Sprintf("/%s/%d", name, number)
	got := s.send(t, http.MethodPost, appURL+path, "application/json", "{}", "X-Order", fmt.Sprintf("order-%d", number))
	if got.Status != http.StatusAccepted {
		t.Fatalf("%s: %d %s", path, got.Status, got.Body)
	}
	return s.called(t, path)
}

// passTime lets orders come, more and fewer of them, and be called back some time later.
func (s *stage) passTime(t *testing.T) {
	t.Helper()
	var open []string
	number, end := 1100, time.Now().Add(*passing)
	for second := 0; time.Now().Before(end); second++ {
		for range 1 + second/50%3 {
			number++
			open = append(open, s.order(t, []string{"payments", "renders"}[number%2], number))
		}
		for len(open) > 12+second/70%3*8 {
			s.call(t, open[0], "application/json", "{}")
			open = open[1:]
		}
		harness.Until(time.Now().Add(2 * time.Second))
	}
}
