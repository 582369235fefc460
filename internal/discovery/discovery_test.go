package discovery

import (
	"strings"
	"testing"
)

func TestEmbeddedDocuments(t *testing.T) {
	tests := map[string]struct {
		parse   func() (*API, error)
		version string
		path    string
		request string
	}{
		"v3":      {JobsV3, "v3", "v3/{+parent}/clientEvents", "CreateClientEventRequest"},
		"v4beta1": {JobsV4beta1, "v4beta1", "v4beta1/{+parent}/clientEvents", "CreateClientEventRequest"},
		"v4":      {JobsV4, "v4", "v4/{+parent}/clientEvents", "ClientEvent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			api, err := tt.parse()
			if err != nil {
				t.Fatal(err)
			}
			if api.Version != tt.version || api.RootURL != "https://jobs.googleapis.com/" {
				t.Errorf("version %q, root %q", api.Version, api.RootURL)
			}
			projects := api.Resources["projects"]
			holder := projects
			if tenants := projects.Resources["tenants"]; tenants != nil {
				holder = tenants
			}
			create := holder.Resources["clientEvents"].Methods["create"]
			if create.Path != tt.path || create.HTTPMethod != "POST" || create.Request.Ref != tt.request {
				t.Errorf("clientEvents.create = %s %s %s", create.HTTPMethod, create.Path, create.Request.Ref)
			}
			if got := api.Resolve(create.Request); got == nil || got.Type != "object" || got.ID != tt.request {
				t.Errorf("Resolve(%s) = %+v", tt.request, got)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const frame = `{"name":"x","version":"v1","rootUrl":"https://x/","resources":{"r":{"methods":{"m":{"id":"x.m","httpMethod":"GET","path":"p","request":{"$ref":"S"}}}}},"schemas":%}`
	tests := map[string]struct{ document, want string }{
		"not JSON":          {`{`, "unexpected end"},
		"empty":             {`{}`, "no rootUrl"},
		"request unknown":   {strings.Replace(frame, "%", `{}`, 1), `x.m: reference to "S"`},
		"field unknown":     {strings.Replace(frame, "%", `{"S":{"type":"object","properties":{"f":{"$ref":"T"}}}}`, 1), `S.f: reference to "T"`},
		"item unknown":      {strings.Replace(frame, "%", `{"S":{"type":"array","items":{"$ref":"T"}}}`, 1), `reference to "T"`},
		"circle":            {strings.Replace(frame, "%", `{"S":{"$ref":"T"},"T":{"$ref":"S"}}`, 1), "leads nowhere"},
		"method without id": {`{"rootUrl":"https://x/","resources":{"r":{"methods":{"m":{}}}}}`, "httpMethod"},
		"null resource":     {`{"rootUrl":"https://x/","resources":{"r":null}}`, "empty"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.document))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestParseAllowsRecursion(t *testing.T) {
	_, err := Parse([]byte(`{"rootUrl":"https://x/","resources":{"r":{}},"schemas":{"S":{"type":"object","properties":{"s":{"$ref":"S"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
}
