package talent

import (
	"encoding/binary"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// sortKey is a hit's place in the order of a search. Hits are sorted by the bytes of
// their keys; each part has an encoding that sorts like its values.
type sortKey []byte

// direction is ascending or descending.
type direction bool

const (
	ascending  direction = false
	descending direction = true
)

func (k sortKey) number(x float64, d direction) sortKey {
	bits := math.Float64bits(x)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return k.uint(bits, d)
}

func (k sortKey) uint(n uint64, d direction) sortKey {
	if d == descending {
		n = ^n
	}
	return binary.BigEndian.AppendUint64(k, n)
}

func (k sortKey) time(at time.Time, d direction) sortKey {
	return k.uint(uint64(at.Unix())^1<<63, d).uint(uint64(at.Nanosecond()), d)
}

// text ends a string with the lowest byte pair, so that a string precedes longer ones
// that begin with it.
func (k sortKey) text(s string, d direction) sortKey {
	start := len(k)
	for i := range len(s) {
		k = append(k, s[i])
		if s[i] == 0 {
			k = append(k, 0xff)
		}
	}
	k = append(k, 0, 1)
	if d == descending {
		for i := start; i < len(k); i++ {
			k[i] = ^k[i]
		}
	}
	return k
}

// ordering appends to a key the values that an orderBy sorts by.
type ordering func(k sortKey, h hit) sortKey

// orderings are the values of orderBy that depend on no other field. Jobs without a
// compensation "are put at the end of search results".
var orderings = map[string]ordering{
	"relevance desc":            byRelevance,
	"posting_publish_time desc": func(k sortKey, h hit) sortKey { return k.time(h.job.Published, descending) },
	"posting_update_time desc":  func(k sortKey, h hit) sortKey { return k.time(h.job.Updated, descending) },
	"title":                     func(k sortKey, h hit) sortKey { return k.text(h.job.title(), ascending) },
	"title desc":                func(k sortKey, h hit) sortKey { return k.text(h.job.title(), descending) },

	"annualized_base_compensation":       byPay(annualBase, ascending),
	"annualized_base_compensation desc":  byPay(annualBase, descending),
	"annualized_total_compensation":      byPay(annualTotal, ascending),
	"annualized_total_compensation desc": byPay(annualTotal, descending),
}

const byCustomRanking = "custom_ranking desc"

func byRelevance(k sortKey, h hit) sortKey { return k.uint(uint64(h.score), descending) }

func byPay(field string, d direction) ordering {
	return func(k sortKey, h hit) sortKey {
		pay, has := h.job.annual(field)
		if !has {
			return append(k, 1)
		}
		return append(k, 0).number(float64(pay.least), d)
	}
}

// keyOf returns the hit's whole key. Jobs that are equal in the order are sorted by
// relevance, then the newest first.
func (s *search) keyOf(h hit) sortKey {
	k := byRelevance(s.order(make(sortKey, 0, 64), h), h)
	return k.time(h.job.Published, descending).uint(uint64(h.job.Sequence), descending)
}

// distanceForm is the syntax of orders by distance, which need coordinates.
var distanceForm = regexp.MustCompile(`^distance_from\(` + distanceCenter + `\)(, ?distance_from\(` + distanceCenter + `\))*$`)

const distanceCenter = `(?:'[^']+'|"[^"]+"|-?\d+(?:\.\d+)?, ?-?\d+(?:\.\d+)?)`

func (s *search) ordering(in Object, bad *violations) {
	by := strings.Join(strings.Fields(text(in, "orderBy")), " ")
	if by == "" {
		by = "relevance desc"
	}
	ranking := s.customRanking(in, bad)
	s.order = orderings[by]
	switch {
	case s.order != nil:
	case by == byCustomRanking && !s.v.Legacy: // v3 has no such order
		if in["customRankingInfo"] == nil {
			bad.add("custom_ranking_info", "is required with order_by %q", by)
		}
		s.order = ranking
	case !s.v.Legacy && len(by) <= 256 && distanceForm.MatchString(by):
		s.unemulated("order_by", ": the emulator has no coordinates of addresses")
	default:
		known := slices.Sorted(maps.Keys(orderings))
		if !s.v.Legacy {
			known = append(known, byCustomRanking)
		}
		bad.add("order_by", "%q is not an order, expected one of %s", protojson.Clip(by), strings.Join(known, ", "))
	}
}

// featured: "Only the jobs with a promotionValue >0 are returned in a
// FEATURED_JOB_SEARCH", "with higher promotional values being returned first
// and ties being resolved by relevance sort".
func (s *search) featured() {
	s.filters = append(s.filters, func(_ *tenant, j *job) bool { return promotion(j) > 0 })
	s.order = func(k sortKey, h hit) sortKey { return k.number(promotion(h.job), descending) }
}

func promotion(j *job) float64 {
	n, _ := j.Fields["promotionValue"].(float64)
	return n
}
