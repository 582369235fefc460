package talent

import (
	"slices"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// fill sets the fields of j for a create or an update. sent are the request's fields
// within the mask, whole are all fields of the resulting job, both in the version's
// names and without output-only fields. fields is the mask, nil for all. Limits apply
// to sent and stored fields.
func (t *tenant) fill(v *Dialect, j *job, sent, whole Object, fields masked, now time.Time) *Error {
	bad := violations(v.limits("Job", "job", sent))
	bad = append(bad, fields.required(v, whole)...)
	j.Company = t.checkCompanyName(v, text(whole, v.CompanyName), &bad)
	if fields.has("applicationInfo") {
		checkApplication(v, whole, &bad)
	}
	checkLanguage("job.language_code", text(sent, "languageCode"), &bad)
	checkCustomAttributes(sent, &bad)
	checkCompensation(sent, &bad)
	if err := bad.err(); err != nil {
		return err
	}

	j.Fields = v.kept(whole)
	j.Requisition = text(whole, "requisitionId")
	if fields.has("languageCode") {
		j.Language = text(sent, "languageCode")
	}
	if j.Language == "" {
		j.Language = detectLanguage(text(whole, "description"))
	}
	setPublishTime(j, sent, fields, now)
	setExpireTime(v, j, sent, fields, now)
	setDefaults(j.Fields)
	sanitize(j.Fields, sent)
	annualize(j.Fields)
	if err := checkStored(v, j.Fields, fields); err != nil {
		return err
	}
	for _, name := range []string{"company", "postingPublishTime", "postingExpireTime"} {
		delete(j.Fields, name) // the job has them itself
	}
	j.derived, j.index = derive(j.Fields), nil
	return nil
}

// checkStored checks the fields after sanitization, which may empty a required one.
func checkStored(v *Dialect, stored Object, fields masked) *Error {
	whole := v.named(stored)
	bad := violations(v.limits("Job", "job", whole))
	bad = append(bad, fields.required(v, whole)...)
	if fields.has("applicationInfo") {
		checkApplication(v, whole, &bad)
	}
	return bad.err()
}

// required returns the missing required fields among those that the update changes.
func (m masked) required(v *Dialect, whole Object) []protojson.Violation {
	return slices.DeleteFunc(v.required("Job", "job", whole), func(one protojson.Violation) bool {
		return !m.has(protojson.JSONName(strings.TrimPrefix(one.Field, "job.")))
	})
}

// checkCompanyName returns the ID of the company with the name.
func (t *tenant) checkCompanyName(v *Dialect, name string, bad *violations) string {
	field := "job." + protojson.ProtoName(v.CompanyName)
	if name == "" {
		return "" // reported as required
	}
	scope, id, ok := v.ParseName(name, "companies")
	switch {
	case !ok:
		bad.add(field, "%q is not a company name, %s", protojson.Clip(name), v.nameForm("companies", "company"))
	case scope.key() != t.scope:
		bad.add(field, "%q is not a company of %s", protojson.Clip(name), t.scope)
	case t.companies[id] == nil:
		bad.add(field, "there is no company %q", protojson.Clip(name))
	}
	return id
}

// checkApplication is v3's "at least one of uris, emails or instruction must be
// specified".
func checkApplication(v *Dialect, whole Object, bad *violations) {
	info, has := whole["applicationInfo"].(Object)
	if v.Legacy && has && info["uris"] == nil && info["emails"] == nil && info["instruction"] == nil {
		bad.add("job.application_info", "at least one of uris, emails or instruction must be specified")
	}
}

// setPublishTime: "The default value is the time the request arrives at the
// server".
func setPublishTime(j *job, sent Object, fields masked, now time.Time) {
	if at, set := timeOf(sent, "postingPublishTime"); set {
		j.Published = at
	} else if fields.has("postingPublishTime") {
		j.Published = now
	}
}

// setExpireTime sets the expire time of a job without one: 30 days after its creation,
// or after an update that changes all fields or the end of the job.
//
// "If the field masks include job_end_time, or the masks are empty meaning that
// every field is updated, the job posting expires after 30 days from the job's
// last update time. Otherwise the expiration date isn't updated." v3 has
// expiry_time in place of job_end_time. So an update whose mask has only the expire
// time, but which has no expire time, changes nothing.
func setExpireTime(v *Dialect, j *job, sent Object, fields masked, now time.Time) {
	end := "jobEndTime"
	if v.Legacy {
		end = expiryTime
	}
	if at, set := timeOf(sent, "postingExpireTime"); set {
		j.Expires = at
	} else if fields.has(end) {
		j.Expires = now.Add(postingTime)
	}
}

func timeOf(o Object, name string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, text(o, name))
	return t, err == nil
}

// setDefaults: "Default value is 0, and negative values are treated as 0";
// "Defaults to Visibility.ACCOUNT_ONLY if not specified".
func setDefaults(fields Object) {
	if value, _ := fields["promotionValue"].(float64); value < 0 {
		delete(fields, "promotionValue")
	}
	if text(fields, "visibility") == "" {
		fields["visibility"] = "ACCOUNT_ONLY"
	}
}

// hasEmployment reports whether a job is of the employment type.
func hasEmployment(fields Object, name string) bool {
	types, _ := fields["employmentTypes"].([]any)
	return slices.Contains(types, any(name))
}

// texts returns the strings of a list.
func texts(o Object, name string) []string {
	list, _ := o[name].([]any)
	some := make([]string, 0, len(list))
	for _, element := range list {
		if s, ok := element.(string); ok {
			some = append(some, s)
		}
	}
	return some
}
