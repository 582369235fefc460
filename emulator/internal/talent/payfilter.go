package talent

import (
	"math"
	"math/big"
	"slices"
)

// payFilter is the FilterType of a CompensationFilter.
type payFilter string

const (
	unitOnly              payFilter = "UNIT_ONLY"
	unitAndAmount         payFilter = "UNIT_AND_AMOUNT"
	annualizedBaseAmount  payFilter = "ANNUALIZED_BASE_AMOUNT"
	annualizedTotalAmount payFilter = "ANNUALIZED_TOTAL_AMOUNT"
)

// unitsAreOptional: the units are documented as "Required", and for the
// annualized types as "zero or more units".
func unitsAreOptional(query Object) bool {
	filter, _ := query["compensationFilter"].(Object)
	kind := payFilter(text(filter, "type"))
	return kind == annualizedBaseAmount || kind == annualizedTotalAmount
}

// filterPay reads a CompensationFilter: "A job is a match if and only if the job
// contains a base CompensationEntry, and the base entry's unit matches … and
// amount or range overlaps with provided CompensationRange". Sums of another
// currency do not overlap.
func (s *search) filterPay(query Object, bad *violations) {
	const field = "job_query.compensation_filter"
	filter, has := query["compensationFilter"].(Object)
	if !has {
		return
	}
	kind, units := payFilter(text(filter, "type")), texts(filter, "units")
	r, hasRange := filter["range"].(Object)
	before := len(*bad)
	checkMoney(field+".range.min_compensation", r["minCompensation"], bad)
	checkMoney(field+".range.max_compensation", r["maxCompensation"], bad)
	wanted, spans := payOf(Object{"range": r})
	switch {
	case kind == unitOnly && len(units) == 0, kind == "": // reported as required
	case kind == unitAndAmount && len(units) > 1:
		bad.add(field+".units", "has %d units, UNIT_AND_AMOUNT takes exactly one", len(units))
	case kind != unitOnly && !spans:
		bad.add(field+".range", "is required with the type %s", string(kind))
	case kind != unitOnly && hasRange && wanted.most < wanted.least:
		bad.add(field+".range", "has a maximum below its minimum")
	}
	if len(*bad) > before {
		return
	}
	unspecified := filter["includeJobsWithUnspecifiedCompensationRange"] == true
	s.keep(func(_ *tenant, j *job) bool {
		pays, known := j.payFor(kind)
		if !known {
			return unspecified
		}
		return (len(units) == 0 || slices.Contains(units, text(j.baseEntry(), "unit"))) &&
			(kind == unitOnly || pays.overlaps(wanted))
	})
}

// payFor returns the sum that a filter of the type compares, and false if the job has
// none.
func (j *job) payFor(kind payFilter) (pay, bool) {
	base := j.baseEntry()
	switch kind {
	case unitOnly:
		return pay{}, base != nil
	case annualizedBaseAmount:
		return j.annual(annualBase)
	case annualizedTotalAmount:
		return j.annual(annualTotal)
	}
	return payOf(base)
}

// baseEntry returns the "base compensation entry" of the job, nil for none.
func (j *job) baseEntry() Object {
	for _, entry := range entriesOf(j.Fields) {
		if text(entry, "type") == "BASE" {
			return entry
		}
	}
	return nil
}

// pay is a range of money for comparing and sorting.
type pay struct {
	currency    string
	least, most float64 // inclusive; most is +Inf without a maximum
}

// payOf returns the sum of a compensation entry, and false if it has none.
func payOf(entry Object) (pay, bool) {
	exact, ok := spanOf(entry)
	if !ok {
		return pay{}, false
	}
	p := pay{exact.currency, toFloat(exact.least), math.Inf(1)}
	if exact.most != nil {
		p.most = toFloat(exact.most)
	}
	return p, true
}

// toFloat converts a number of billionths.
func toFloat(n *big.Int) float64 {
	x, _ := new(big.Rat).SetFrac(n, billion).Float64()
	return x
}

// overlaps reports whether the ranges have a sum in common.
func (p pay) overlaps(o pay) bool {
	return (p.currency == o.currency || p.currency == "" || o.currency == "") && p.least <= o.most && o.least <= p.most
}

// annual returns one of the job's annualized ranges.
func (j *job) annual(field string) (pay, bool) {
	info, _ := j.Fields["compensationInfo"].(Object)
	r, _ := info[field].(Object)
	return payOf(Object{"range": r})
}
