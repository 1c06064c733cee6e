package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

//go:embed page.js
var script string

// asset is a file that pages load.
type asset struct {
	mediaType, content, tag string
}

func newAsset(mediaType, content string) asset {
	sum := sha256.Sum256([]byte(content))
	return asset{mediaType, content, `"` + hex.EncodeToString(sum[:8]) + `"`}
}

var assets = map[string]asset{
	"page.css": newAsset("text/css; charset=utf-8", style),
	"page.js":  newAsset("text/javascript; charset=utf-8", script),
}

// ServeAsset answers with the stylesheet (page.css) or the script (page.js), and reports
// whether there is a file with that name.
func ServeAsset(w http.ResponseWriter, r *http.Request, name string) bool {
	a, ok := assets[name]
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(a.content))
	return true
}
