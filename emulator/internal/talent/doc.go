// Package talent keeps what the API's resources hold: tenants, companies and
// jobs. It knows the rules of the service and nothing of HTTP.
//
// Objects go in and out as one version of the API names their fields, which a
// [Dialect] says; they are kept under the names of v4. Where a rule quotes a
// sentence, it is from the documentation of projects.jobs.patch of v4beta1 or
// from the discovery documents of v3 and v4.
package talent
