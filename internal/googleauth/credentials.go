// Package googleauth gets access tokens with Google credentials of every kind, and
// keeps them.
//
// The library golang.org/x/oauth2/google does what is particular to each kind.
// This package adds the needs of a program that runs for months:
// credentials are read again for each token, requests have a deadline,
// secrets go to no other server and into no log, and the token server's
// Retry-After and clock are respected.
package googleauth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2/google"

	"github.com/clientevents/clientevents/internal/scrub"
)

// Scopes. The first is the narrower of the two that the jobs API accepts (its
// discovery document); Google's Managed Service for Apache Kafka
// requires the other.
const (
	JobsScope  = "https://www.googleapis.com/auth/jobs"
	CloudScope = "https://www.googleapis.com/auth/cloud-platform"
)

// Default stands for Application Default Credentials instead of a file's name.
const Default = "default"

// Metadata is the kind of credentials of a machine or a pod in Google Cloud.
const Metadata google.CredentialsType = "metadata server"

// Credentials are credentials with their source.
type Credentials struct {
	Kind google.CredentialsType
	// File they were read from; "" for the metadata server.
	File string
	// Account is the account, if the credentials name it: a service account's email
	// or the audience of a workload identity. "" if they don't.
	Account string
	// QuotaProject is the project for quota and billing, if the credentials name it.
	QuotaProject string

	text []byte
	// impersonates: the tokens are those of a service account that other
	// credentials ask for.
	impersonates bool
}

// Find reads credentials from a file or, for [Default], from the places of Application
// Default Credentials: the file that GOOGLE_APPLICATION_CREDENTIALS
// names, the one that `gcloud auth application-default login` writes, the
// metadata server (https://cloud.google.com/docs/authentication/application-default-credentials).
func Find(from string) (*Credentials, error) {
	if from != Default {
		return read(from)
	}
	if file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); file != "" {
		c, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
		return c, nil
	}
	if file := wellKnownFile(); file != "" {
		if c, err := read(file); !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
	}
	if metadata.OnGCE() {
		return &Credentials{Kind: Metadata, QuotaProject: os.Getenv(quotaProjectVariable)}, nil
	}
	return nil, errors.New("there are no Application Default Credentials: set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, " +
		"run `gcloud auth application-default login`, or run on Google Cloud with a service account")
}

// wellKnownFile is the file to which gcloud writes Application Default Credentials.
func wellKnownFile() string {
	const name = "application_default_credentials.json"
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("APPDATA"), "gcloud", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "gcloud", name)
}

// quotaProjectVariable overrides the quota project of Application Default
// Credentials in all of Google's libraries.
const quotaProjectVariable = "GOOGLE_CLOUD_QUOTA_PROJECT"

// head is the part of a credentials file that this package reads.
type head struct {
	Type          google.CredentialsType `json:"type"`
	ClientEmail   string                 `json:"client_email"`
	Account       string                 `json:"account"`
	Audience      string                 `json:"audience"`
	QuotaProject  string                 `json:"quota_project_id"`
	Impersonation string                 `json:"service_account_impersonation_url"`
}

// kinds are the types of credentials files.
var kinds = []google.CredentialsType{
	google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount,
	google.ExternalAccountAuthorizedUser, google.ImpersonatedServiceAccount,
}

func read(file string) (*Credentials, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var h head
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("%s is not a credentials file: %w", file, err)
	}
	// The library requires the kind, because some kinds name addresses to which it
	// sends secrets; here the operator chose the file.
	if !slices.Contains(kinds, h.Type) {
		return nil, fmt.Errorf("%s is not a credentials file: its type is %q; expected one of %q", file, h.Type, kinds)
	}
	return &Credentials{
		Kind: h.Type, File: file, text: text, impersonates: h.Impersonation != "",
		Account:      cmp.Or(h.ClientEmail, impersonated(h.Impersonation), h.Account, h.Audience),
		QuotaProject: cmp.Or(os.Getenv(quotaProjectVariable), h.QuotaProject),
	}, nil
}

// impersonated is the service account in the address that makes its tokens:
// …/serviceAccounts/EMAIL:generateAccessToken.
func impersonated(address string) string {
	email, _, _ := strings.Cut(path.Base(address), ":")
	return strings.TrimLeft(email, "./")
}

// hide adds the secrets of the credentials file, at any depth: impersonation nests
// one file in another.
func (c *Credentials) hide(in *scrub.Scrubber) {
	var content any
	if json.Unmarshal(c.text, &content) != nil {
		return
	}
	var add func(path string, v any)
	add = func(path string, v any) {
		fields, _ := v.(map[string]any)
		for name, value := range fields {
			text, ok := value.(string)
			if ok && (name == "private_key" || slices.Contains(secretFields, name)) {
				in.Add(path+name, text)
			}
			add(path+name+".", value)
		}
	}
	add(c.File+" ", content)
}
