package api

import _ "embed" // For openapi.json.

// openAPI is the OpenAPI document of the API.
//
//go:embed openapi.json
var openAPI []byte
