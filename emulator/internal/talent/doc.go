// Package talent stores the API's resources: tenants, companies and jobs. It has the
// rules of the service, and is independent of HTTP.
//
// A [Dialect] defines the names of fields in one version of the API, for objects that
// callers pass and receive; the package stores them under the names of v4. Quoted
// sentences are from the documentation of projects.jobs.patch of v4beta1 or from the
// discovery documents of v3 and v4.
package talent
