package talent

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"regexp"
	"strconv"
)

var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

// entriesOf returns the entries of a job's compensationInfo.
func entriesOf(fields Object) []Object {
	info, _ := fields["compensationInfo"].(Object)
	list, _ := info["entries"].([]any)
	entries := make([]Object, 0, len(list))
	for _, element := range list {
		entry, _ := element.(Object)
		entries = append(entries, entry)
	}
	return entries
}

// checkCompensation: "At most one entry can be of type BASE"; amount and range
// are a oneof; and the rules of google/type/money.proto.
func checkCompensation(sent Object, bad *violations) {
	const field = "job.compensation_info.entries"
	bases := 0
	for i, entry := range entriesOf(sent) {
		at := fmt.Sprintf("%s[%d]", field, i)
		if text(entry, "type") == "BASE" {
			bases++
		}
		if entry["amount"] != nil && entry["range"] != nil {
			bad.add(at, "has both an amount and a range, at most one of them is allowed")
		}
		checkMoney(at+".amount", entry["amount"], bad)
		if span, _ := entry["range"].(Object); span != nil {
			checkMoney(at+".range.min_compensation", span["minCompensation"], bad)
			checkMoney(at+".range.max_compensation", span["maxCompensation"], bad)
		}
	}
	if bases > 1 {
		bad.add(field, "has %d entries of type BASE, at most one is allowed", bases)
	}
}

func checkMoney(at string, value any, bad *violations) {
	m, _ := value.(Object)
	if m == nil {
		return
	}
	if code := text(m, "currencyCode"); code != "" && !currencyForm.MatchString(code) {
		bad.add(at+".currency_code", "%q is not a three-letter currency code of ISO 4217", code)
	}
	units, _ := strconv.ParseInt(text(m, "units"), 10, 64)
	nanos, _ := m["nanos"].(float64)
	if math.Abs(nanos) > 999_999_999 {
		bad.add(at+".nanos", "must be between -999,999,999 and +999,999,999")
	}
	if units > 0 && nanos < 0 || units < 0 && nanos > 0 {
		bad.add(at+".nanos", "must have the sign of units")
	}
}

// unitsPerYear: "If not specified, when Job.employment_types is FULLTIME, a
// default value is inferred based on unit".
var unitsPerYear = map[string]float64{"HOURLY": 2080, "DAILY": 260, "WEEKLY": 52, "MONTHLY": 12, "YEARLY": 1}

// The annualized ranges of a compensationInfo.
const (
	annualBase  = "annualizedBaseCompensationRange"
	annualTotal = "annualizedTotalCompensationRange"
)

// annualize completes a compensationInfo: it sets the annualized ranges, which are
// output only, and an empty minimum. It does not set an empty maximum: "If left
// empty, the value is set to a maximal compensation value", which is not documented.
// It omits an annual sum that exceeds a Money.
func annualize(fields Object) {
	info, _ := fields["compensationInfo"].(Object)
	if info == nil {
		return
	}
	info = maps.Clone(info)
	delete(info, annualBase)
	delete(info, annualTotal)
	fields["compensationInfo"] = info
	var total span
	for _, entry := range entriesOf(fields) {
		fillMinimum(entry)
		perYear, ok := entry["expectedUnitsPerYear"].(float64)
		if !ok && hasEmployment(fields, "FULL_TIME") {
			perYear, ok = unitsPerYear[text(entry, "unit")]
		}
		year, fits := spanOf(entry)
		if !ok || !fits {
			continue
		}
		year = year.times(perYear)
		if text(entry, "type") == "BASE" {
			year.put(info, annualBase)
		}
		total = total.plus(year)
	}
	total.put(info, annualTotal)
}

// fillMinimum: "If left empty, the value is set to zero and the currency code is
// set to match the currency code of max_compensation".
func fillMinimum(entry Object) {
	r, _ := entry["range"].(Object)
	high, _ := r["maxCompensation"].(Object)
	if high == nil || r["minCompensation"] != nil {
		return
	}
	low := Object{}
	if code := text(high, "currencyCode"); code != "" {
		low["currencyCode"] = code
	}
	r["minCompensation"] = low
}

// span is a range of money in billionths, without an end if it has no most.
type span struct {
	currency    string
	least, most *big.Int
}

var billion = big.NewInt(1_000_000_000)

// spanOf returns the sum of an entry, and false if it has none.
func spanOf(entry Object) (span, bool) {
	if amount, _ := entry["amount"].(Object); amount != nil {
		n := nanosOf(amount)
		return span{text(amount, "currencyCode"), n, n}, true
	}
	r, _ := entry["range"].(Object)
	low, _ := r["minCompensation"].(Object)
	high, _ := r["maxCompensation"].(Object)
	switch {
	case low == nil && high == nil:
		return span{}, false
	case high == nil:
		return span{text(low, "currencyCode"), nanosOf(low), nil}, true
	}
	return span{text(high, "currencyCode"), nanosOf(low), nanosOf(high)}, true
}

func nanosOf(money Object) *big.Int {
	units, _ := strconv.ParseInt(text(money, "units"), 10, 64)
	nanos, _ := money["nanos"].(float64)
	n := new(big.Int).Mul(big.NewInt(units), billion)
	return n.Add(n, big.NewInt(int64(nanos)))
}

func (s span) times(factor float64) span {
	scale := func(n *big.Int) *big.Int {
		if n == nil {
			return nil
		}
		exact := new(big.Rat).SetFloat64(factor)
		exact.Mul(exact, new(big.Rat).SetInt(n))
		return new(big.Int).Quo(exact.Num(), exact.Denom())
	}
	return span{s.currency, scale(s.least), scale(s.most)}
}

// plus adds a sum of the same currency.
func (s span) plus(o span) span {
	switch {
	case s.least == nil:
		return o
	case s.currency != o.currency:
		return s
	}
	sum := span{currency: s.currency, least: new(big.Int).Add(s.least, o.least)}
	if s.most != nil && o.most != nil {
		sum.most = new(big.Int).Add(s.most, o.most)
	}
	return sum
}

// put sets a range of the info to the span, if its sums fit.
func (s span) put(info Object, field string) {
	if s.least == nil || !isMoney(s.least) || s.most != nil && !isMoney(s.most) {
		return
	}
	o := Object{"minCompensation": moneyObject(s.currency, s.least)}
	if s.most != nil {
		o["maxCompensation"] = moneyObject(s.currency, s.most)
	}
	info[field] = o
}

// isMoney reports whether a number of billionths fits in a Money.
func isMoney(n *big.Int) bool { return new(big.Int).Quo(n, billion).IsInt64() }

func moneyObject(currency string, n *big.Int) Object {
	o := Object{}
	if currency != "" {
		o["currencyCode"] = currency
	}
	units, nanos := new(big.Int).QuoRem(n, billion, new(big.Int))
	if units.Sign() != 0 {
		o["units"] = units.String()
	}
	if nanos.Sign() != 0 {
		o["nanos"] = float64(nanos.Int64())
	}
	return o
}
