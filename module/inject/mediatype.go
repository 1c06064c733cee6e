package inject

import (
	"errors"
	"mime"
	"strings"
)

// IsJSON says whether a Content-Type is that of a JSON body: application/json,
// text/json, or a type with the suffix +json, in UTF-8.
func IsJSON(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return false
	}
	_, subtype, _ := strings.Cut(mediaType, "/")
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(subtype, "+json")
}

// IsXML says whether a Content-Type is that of an XML body: application/xml, text/xml, or a
// type with the suffix +xml, in UTF-8 or US-ASCII.
func IsXML(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset, ok := parameters["charset"]; ok && !isUTF8(charset) {
		return false
	}
	_, subtype, _ := strings.Cut(mediaType, "/")
	return mediaType == "application/xml" || mediaType == "text/xml" || strings.HasSuffix(subtype, "+xml")
}

// IsForm says whether a Content-Type is that of a form body:
// application/x-www-form-urlencoded or multipart/form-data.
func IsForm(contentType string) bool {
	return hasMediaType(contentType, "application/x-www-form-urlencoded") || IsMultipart(contentType)
}

// IsMultipart says whether a Content-Type is that of a form body in parts:
// multipart/form-data.
func IsMultipart(contentType string) bool { return hasMediaType(contentType, "multipart/form-data") }

func hasMediaType(contentType, want string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) && mediaType == want
}
