package scrub

import "testing"

func TestEnvironment(t *testing.T) {
	s := &Scrubber{}
	s.AddEnviron([]string{
		"HTTPS_PROXY=http://user:proxy%20pass%2Fword@proxy:3128/", "http_proxy=user:plainpassword@proxy:3128", "ALL_PROXY=socks5://proxy:1080",
		"OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20trace-token-0123,api-key=key%2Bvalue", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x=first-value,y=second-value,z=third-value,u=fourth-value",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://u:collector-password@traces:4318", "PATH=/usr/bin:/a/long/path", "EMPTY",
	})
	for text, want := range map[string]string{
		"proxy%20pass%2Fword":       Hidden,
		"it is proxy pass/word":     "it is " + Hidden,
		"plainpassword":             Hidden,
		"Bearer trace-token-0123":   "Bearer " + Hidden,
		"Bearer is no secret":       "Bearer is no secret",
		"key+value and key%2Bvalue": Hidden + " and " + Hidden,
		"first-value, fourth-value": Hidden + ", " + Hidden,
		"collector-password":        Hidden,
		"http://proxy:3128":         "http://proxy:3128",
		"/usr/bin:/a/long/path":     "/usr/bin:/a/long/path",
	} {
		if got := s.Text(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
