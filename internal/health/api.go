package health

import (
	"slices"
	"time"

	"github.com/clientevents/clientevents/reporter"
	"github.com/clientevents/clientevents/reporter/talent"
)

// apiReasons are the problems that the reasons of a closed gate make.
var apiReasons = map[talent.Reason]Reason{
	talent.Throttled:       APIThrottled,
	talent.Unavailable:     APIUnavailable,
	talent.ServerError:     APIServerError,
	talent.Timeout:         APITimeout,
	talent.Network:         APIUnreachable,
	talent.Unauthenticated: APICredentials,
	talent.Forbidden:       APIForbidden,
	talent.BadAnswer:       APIBadAnswer,
}

// short are the headlines of failures that do not count as a pause yet.
var short = map[Reason]string{
	APIThrottled:   "Waiting: the API throttles",
	APIUnavailable: "Waiting: the API is not available (503)",
	APIServerError: "Waiting: the API fails (5xx)",
	APITimeout:     "Waiting: the API does not answer in time",
	APIUnreachable: "Waiting: the API can't be reached",
	APICredentials: "Waiting: the API wants another access token",
	APIForbidden:   "Waiting: the account may not create events",
	APIBadAnswer:   "Waiting: the endpoint does not answer as the API does",
}

const slotAPI = "api"

// ofAPI finds the reason for which nothing is sent.
func ofAPI(f *Facts) (all []Problem) {
	s := &f.Reporter
	if slices.Contains(s.Paused, "rejections") {
		all = append(all, Problem{Reason: APIRejectsAll, facts: Events(s.Held) + " held."})
	}
	auth := slices.Contains(s.Paused, "auth")
	switch gate := s.Gate; {
	case auth && s.TokenError != "" && (gate.Open || !s.TokenExpiry.After(f.Now)):
		// The API refuses a token that expires in transit; the cause is the token server.
		all = append(all, Problem{Reason: NoToken, Said: s.TokenError, slot: slotAPI})
	case auth && gate.Open:
		all = append(all, Problem{Reason: APICredentials, slot: slotAPI})
	case !gate.Open:
		all = append(all, ofGate(f, gate))
	}
	return all
}

func ofGate(f *Facts, gate reporter.GateStatus) Problem {
	p := Problem{Reason: apiReasons[gate.Reason], Since: gate.Since, Said: gate.LastError, slot: slotAPI}
	if wait := gate.NextTry.Sub(f.Now); wait > time.Second {
		p.facts = "The next try is in " + Lasting(wait) + "."
	}
	paused := slices.DeleteFunc(slices.Clone(f.Reporter.Paused), func(name string) bool {
		return name == "operator" || name == "rejections"
	})
	if len(paused) == 0 {
		p.Level, p.Headline = Busy, short[p.Reason]
		// A quota that is used up for a moment is how quotas work.
		p.ordinary = gate.Reason == talent.Throttled
	}
	return p
}

// Doing returns in a few words what the API is doing, for one line of a display.
func Doing(s *reporter.Status, now time.Time) string {
	if s.Gate.Open {
		return "API takes events"
	}
	words, ok := map[talent.Reason]string{
		talent.Throttled: "API throttles", talent.Unavailable: "API not available", talent.ServerError: "API fails",
		talent.Timeout: "API does not answer", talent.Network: "API can't be reached", talent.Unauthenticated: "API refuses the token",
		talent.Forbidden: "API forbids it", talent.BadAnswer: "no answer of the API",
	}[s.Gate.Reason]
	if !ok {
		words = "waiting for the API"
	}
	return words + ": " + Lasting(now.Sub(s.Gate.Since))
}
