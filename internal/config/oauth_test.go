package config

import (
	"reflect"
	"strings"
	"testing"
)

// TestOAuth sets the keys of each provider, and checks that each has its own and no others.
func TestOAuth(t *testing.T) {
	inFolderWithFiles(t)
	for name, test := range map[string]struct {
		keys  string
		want  OAuth
		fault string // a part; "" for none
	}{
		"none": {"{}", OAuth{Provider: Google}, ""},
		"oidc": {
			"{provider: oidc, token_url: 'https://login.example.com/token', client_id: me, client_secret_file: password, ca_file: cert.pem, scopes: [a, b], extensions: {logicalCluster: lkc-1, identityPoolId: pool-1}}",
			OAuth{Provider: OIDC, TokenURL: "https://login.example.com/token", ClientID: "me", ClientSecretFile: "password", CAFile: "cert.pem", Scopes: []string{"a", "b"}, Extensions: []string{"logicalCluster=lkc-1", "identityPoolId=pool-1"}},
			"",
		},
		"extensions as a list": {"{provider: file, token_file: password, extensions: [a=b=c]}", OAuth{Provider: TokenFile, TokenFile: "password", Extensions: []string{"a=b=c"}}, ""},
		"msk-iam":              {"{provider: msk-iam, region: eu-west-1}", OAuth{Provider: MSKIAM, Region: "eu-west-1"}, ""},

		"plain http":        {"{provider: oidc, token_url: 'http://login.example.com/token', client_id: me, client_secret_file: password}", OAuth{}, "kafka.sasl.oauth.token_url: \"http://login.example.com/token\": expected https"},
		"no secret":         {"{provider: oidc, token_url: 'https://login.example.com/token', client_id: me}", OAuth{}, "kafka.sasl.oauth.client_secret_file: is required for the provider oidc"},
		"no region":         {"{provider: msk-iam}", OAuth{}, "kafka.sasl.oauth.region: is required for the provider msk-iam"},
		"another's key":     {"{token_file: password}", OAuth{}, "kafka.sasl.oauth.token_file: \"password\": has no effect with the provider google"},
		"extension auth":    {"{provider: file, token_file: password, extensions: {auth: x}}", OAuth{}, "kafka.sasl.oauth.extensions: \"auth=x\""},
		"extension control": {"{provider: file, token_file: password, extensions: {a: \"x\\x01auth=y\"}}", OAuth{}, "kafka.sasl.oauth.extensions: "},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(least, "api:", "  sasl: {mechanism: oauthbearer, oauth: "+test.keys+"}\napi:", 1)
			c, err := load("config.yaml", []byte(yaml), nil)
			switch {
			case test.fault != "":
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("got %v, want %s", err, test.fault)
				}
			case err != nil:
				t.Error(err)
			case !reflect.DeepEqual(c.Kafka.SASL.OAuth, test.want):
				t.Errorf("got %+v, want %+v", c.Kafka.SASL.OAuth, test.want)
			}
		})
	}
}
