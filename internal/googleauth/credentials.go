// Package googleauth gets access tokens by Google credentials of every kind, and
// keeps them.
//
// The library golang.org/x/oauth2/google does what is particular to each kind.
// Around it, this package sees to what a program that runs for months needs:
// credentials are read anew for each token, a request for one has an end, its
// secrets go to no other place and into no log, and what a token server says
// (wait, the time) is heeded.
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
)

// Scopes. The first is the narrower of the two that the jobs API takes (its
// discovery document); the other is what Google's Managed Service for Apache
// Kafka asks for.
const (
	JobsScope  = "https://www.googleapis.com/auth/jobs"
	CloudScope = "https://www.googleapis.com/auth/cloud-platform"
)

// Default is Application Default Credentials, in the place of a file's name.
const Default = "default"

// Metadata is the kind of credentials that a machine or a pod of Google's has.
const Metadata google.CredentialsType = "metadata server"

// Credentials are credentials as they were found.
type Credentials struct {
	Kind google.CredentialsType
	// File they were read from; "" for the metadata server.
	File string
	// Account is whose they are, as far as they say: a service account's email,
	// or the audience of a workload identity. "" where they don't.
	Account string
	// QuotaProject is the project that they name for quota and billing.
	QuotaProject string

	text []byte
	// impersonates: the tokens are those of a service account that other
	// credentials ask for.
	impersonates bool
}

// Find reads credentials from a file or, for [Default], from where Application
// Default Credentials are looked for: the file that GOOGLE_APPLICATION_CREDENTIALS
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

// wellKnownFile is where gcloud writes Application Default Credentials.
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

// head is what this package itself reads of a credentials file.
type head struct {
	Type          google.CredentialsType `json:"type"`
	ClientEmail   string                 `json:"client_email"`
	Account       string                 `json:"account"`
	Audience      string                 `json:"audience"`
	QuotaProject  string                 `json:"quota_project_id"`
	Impersonation string                 `json:"service_account_impersonation_url"`
}

// kinds are the types of credentials that there are files of.
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
	// The library wants the kind said, since some kinds name addresses that it
	// then sends secrets to; the file is the operator's own choice here.
	if !slices.Contains(kinds, h.Type) {
		return nil, fmt.Errorf("%s is not a credentials file: its type is %q; want one of %q", file, h.Type, kinds)
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
