package talent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// listFilter is the filter of jobs.list and of batchDelete: "Supported
// operator: =, AND. The fields eligible for filtering are: companyName,
// requisitionId, status. Available values: OPEN, EXPIRED, ALL. Defaults to OPEN
// if no value is specified".
type listFilter struct {
	company, requisition, status string
}

func parseFilter(v *Dialect, s string) (listFilter, *Error) {
	var f listFilter
	if strings.TrimSpace(s) == "" {
		return f, fieldErrorf(InvalidArgument, "filter", "is required")
	}
	for rest := s; ; {
		name, value, behind, err := cutComparison(rest)
		if err == nil {
			err = f.set(v, name, value)
		}
		if err == nil && behind != "" {
			if behind, err = cutAnd(behind); err == nil && behind == "" {
				err = errors.New("expected a comparison after AND")
			}
		}
		if err != nil {
			return f, fieldErrorf(InvalidArgument, "filter", "%q: %v", protojson.Clip(s), err)
		}
		if rest = behind; rest == "" {
			return f, nil
		}
	}
}

// cutComparison takes `name = "value"` from the front of a filter.
func cutComparison(s string) (name, value, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	name, rest, ok := strings.Cut(s, "=")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return "", "", "", fmt.Errorf("expected FIELD = %q at %q", "VALUE", protojson.Clip(s))
	}
	value, rest, err = cutQuoted(strings.TrimLeft(rest, " \t"))
	return name, value, strings.TrimLeft(rest, " \t"), err
}

// cutQuoted takes a quoted string from the front. A backslash escapes.
func cutQuoted(s string) (value, rest string, err error) {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return "", "", fmt.Errorf("expected a quoted value at %q", protojson.Clip(s))
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == s[0]:
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("a closing quote is missing")
}

func cutAnd(s string) (rest string, err error) {
	if len(s) > 4 && strings.EqualFold(s[:3], "AND") && strings.ContainsAny(s[3:4], " \t") {
		return strings.TrimLeft(s[4:], " \t"), nil
	}
	if strings.EqualFold(s, "AND") {
		return "", nil
	}
	return "", fmt.Errorf("expected AND at %q", protojson.Clip(s))
}

func (f *listFilter) set(v *Dialect, name, value string) error {
	switch name {
	case "companyName", "company_name", v.CompanyName:
		if _, _, ok := v.ParseName(value, "companies"); !ok {
			return fmt.Errorf("%q is not a company name, %s", protojson.Clip(value), v.nameForm("companies", "company"))
		}
		return setOnce(&f.company, name, value)
	case "requisitionId", "requisition_id":
		return setOnce(&f.requisition, name, value)
	case "status":
		switch value {
		case "OPEN", "EXPIRED", "ALL":
			return setOnce(&f.status, name, value)
		}
		return fmt.Errorf("status %q: expected OPEN, EXPIRED or ALL", protojson.Clip(value))
	}
	return fmt.Errorf("%q can't be filtered by, expected companyName, requisitionId or status", protojson.Clip(name))
}

func setOnce(dst *string, name, value string) error {
	if *dst != "" {
		return fmt.Errorf("%s is repeated", name)
	}
	if value == "" {
		return fmt.Errorf("%s is empty", name)
	}
	*dst = value
	return nil
}

// matcher returns a function that reports whether the filter matches a job.
func (f listFilter) matcher(v *Dialect, t *tenant) func(*job) bool {
	var company string
	if f.company != "" {
		scope, id, _ := v.ParseName(f.company, "companies")
		if scope.key() != t.scope {
			return func(*job) bool { return false }
		}
		company = id
	}
	return func(j *job) bool {
		switch {
		case company != "" && j.Company != company,
			f.requisition != "" && j.Requisition != f.requisition,
			f.status == "EXPIRED" && j.open,
			f.status != "EXPIRED" && f.status != "ALL" && !j.open:
			return false
		}
		return true
	}
}
