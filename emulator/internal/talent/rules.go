package talent

import (
	"slices"
	"time"

	"golang.org/x/text/language"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// fill makes j what a create or an update asks for. sent are the fields of the
// request that count, whole is all that the job would have, both in the
// version's names and without what the service alone sets; fields is the mask,
// nil for all.
func (t *tenant) fill(v *Dialect, j *job, sent, whole Object, fields masked, now time.Time) *Error {
	bad := violations(v.limits("Job", "job", sent))
	bad = append(bad, v.required("Job", "job", whole)...)
	j.Company = t.checkCompanyName(v, text(whole, v.CompanyName), &bad)
	checkApplication(v, whole, &bad)
	checkLanguage(text(sent, "languageCode"), &bad)
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
	for _, name := range []string{"company", "postingPublishTime", "postingExpireTime"} {
		delete(j.Fields, name) // the job has them itself
	}
	j.derived, j.index = derive(j.Fields), nil
	return nil
}

// checkCompanyName is the id of the company that the name means.
func (t *tenant) checkCompanyName(v *Dialect, name string, bad *violations) string {
	field := "job." + protojson.ProtoName(v.CompanyName)
	if name == "" {
		return "" // told as required
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

// checkLanguage: "Language codes must be in BCP-47 format, such as "en-US" or
// "sr-Latn"." The documented default, en_US, is with an underscore, so that is
// taken too.
func checkLanguage(code string, bad *violations) {
	if code == "" {
		return
	}
	if _, err := language.Parse(code); err != nil {
		bad.add("job.language_code", "%q is not in BCP-47 format, such as \"en-US\" or \"sr-Latn\"", protojson.Clip(code))
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

// setExpireTime gives a job that is told none 30 days from its creation, or
// from an update that is about all fields or about the expire time.
//
// "If the field masks include job_end_time, or the masks are empty meaning that
// every field is updated, the job posting expires after 30 days from the job's
// last update time. Otherwise the expiration date isn't updated." v3 says
// expiry_time for job_end_time. A mask that names the expire time itself and
// gives none is taken for what v3 means, in all versions: a job can't be
// without one.
func setExpireTime(v *Dialect, j *job, sent Object, fields masked, now time.Time) {
	at, set := timeOf(sent, "postingExpireTime")
	switch {
	case set:
		j.Expires = at
	case fields.has("postingExpireTime"), !v.Legacy && fields.has("jobEndTime"):
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

// texts are the strings of a list.
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
