package app

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clientevents/clientevents/consumer"
	"github.com/clientevents/clientevents/reporter"
)

// Summary is the status in a sentence or two, for a person.
type Summary struct {
	// Level is "ok", "busy" (behind, or starting), "paused" (as somebody wished)
	// or "bad" (somebody has to do something, or wait for somebody else).
	Level string `json:"level"`
	// Headline is the one thing to know.
	Headline string `json:"headline"`
	// Detail says more, and Advice what to do; both may be "".
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// The values of Summary.Level.
const (
	levelOK     = "ok"
	levelBusy   = "busy"
	levelPaused = "paused"
	levelBad    = "bad"
)

// summarize says the main thing first: what stands still, and only then how
// fast the rest goes.
func summarize(s *Status) Summary {
	for _, of := range []func(*Status) *Summary{ofOperator, ofMembership, ofLease, ofPauses, ofBrokers, ofGate} {
		if found := of(s); found != nil {
			return *found
		}
	}
	return ofFlow(s)
}

func ofOperator(s *Status) *Summary {
	switch {
	case s.Admin.Drained:
		return &Summary{
			Level: levelPaused, Headline: "Drained: this replica has left the group and does nothing",
			Detail: "Others carry its partitions, if there are others. It can be stopped.",
		}
	case s.Admin.Paused:
		return &Summary{
			Level: levelPaused, Headline: "Paused by an operator: this replica fetches and sends nothing",
			Detail: lastAction(s), Advice: "Resume, when what it was for is done. Partitions that go to other replicas are not paused.",
		}
	}
	return nil
}

// lastAction says who asked for the pause, and when.
func lastAction(s *Status) string {
	for _, a := range s.Admin.Latest {
		if a.What == "pause all" {
			return "For " + lasting(s.Now.Sub(a.Time)) + ", as " + a.By + " wished."
		}
	}
	return ""
}

func ofMembership(s *Status) *Summary {
	switch {
	case s.NotReady == "draining":
		return &Summary{Level: levelPaused, Headline: "Draining: finishing what is in flight", Detail: inFlight(s)}
	case !s.Ready && s.Partitions == nil:
		if _, why, held := strings.Cut(s.NotReady, ": "); held {
			return &Summary{
				Level: levelBad, Headline: "Held up: the consumer group can't be joined", Detail: sentence(why),
				Advice: "It is tried again by itself. `clientevents check` looks at everything that it needs.",
			}
		}
		return &Summary{
			Level: levelBusy, Headline: "Joining the consumer group",
			Advice: "If this lasts for more than a minute, see the log for what the brokers answer.",
		}
	case !s.Ready:
		return &Summary{
			Level: levelBusy, Headline: "Starting: " + s.NotReady,
			Detail: fmt.Sprintf("%s state records to go.", count(remaining(s.Partitions))),
		}
	}
	return nil
}

// ofLease tells of brokers that fell silent, before what comes of it does: that
// takes the time-outs of requests, and looks like a topic's fault.
func ofLease(s *Status) *Summary {
	if !s.unleased || len(s.Partitions) == 0 {
		return nil
	}
	return &Summary{
		Level: levelBad, Headline: "Held up: the brokers don't answer",
		Detail: "None confirms that the partitions are still this replica's, so it sends nothing; others may have them by now.",
		Advice: "Look at the brokers, and at the network to them. It goes on by itself; nothing is lost.",
	}
}

// sentence makes one of an error's text.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// pauseTexts are what each value of clientevents_paused means, and what to do.
var pauseTexts = map[string]Summary{
	"operator": {
		Headline: "Paused by an operator: nothing is sent",
		Advice:   "Resume, when what it was for is done.",
	},
	"rejections": {
		Headline: "Paused: the API refuses every event for good",
		Detail:   "So many in a row are not the events' fault. What was refused is held back, and one event at a time is tried.",
		Advice:   "Check that api.parent exists, that api.version is served, and that the API is switched on. It goes on by itself once an event is accepted.",
	},
	"auth": {
		Headline: "Paused: the API refuses the credentials",
		Advice:   "Mend the credentials that api.credentials names. A key file that was replaced is found by itself; no restart is needed.",
	},
	"forbidden": {
		Headline: "Paused: the account may not create events",
		Advice:   "Grant it a Talent Solution role on the project, or switch the API on. It goes on by itself.",
	},
	"throttled": {
		Headline: "Paused: the quota is used up",
		Advice:   "Nothing is lost; events wait. Ask Google for more quota, or set report.rate to what there is.",
	},
	"unavailable": {
		Headline: "Paused: the API can't be reached or fails",
		Advice:   "Nothing is lost; events wait. If Google's status page shows no outage, check the network and api.endpoint.",
	},
}

func ofPauses(s *Status) *Summary {
	if len(s.Reporter.Paused) == 0 {
		return nil
	}
	name := s.Reporter.Paused[0]
	found, ok := pauseTexts[name]
	if !ok {
		found.Headline = "Paused: " + name
	}
	found.Level = levelBad
	if name == "operator" {
		found.Level = levelPaused
	}
	switch gate := s.Reporter.Gate; {
	case name == "auth" && s.Reporter.TokenError != "" && (gate.Open || tokenEnded(s)):
		found.Headline = "Paused: there is no access token"
		found.Detail = "It is tried again every few seconds. The last try said: " + s.Reporter.TokenError
	case !gate.Open:
		found.Detail = waiting(s.Now, gate)
	}
	return &found
}

// tokenEnded says whether there is no token that could be used. One that ends on its
// way is refused by the API, and it is not this that has to be mended.
func tokenEnded(s *Status) bool { return !s.Reporter.TokenExpiry.After(s.Now) }

// brokerTexts are what each value of PartitionStatus.Trouble means.
var brokerTexts = map[string]Summary{
	consumer.TroubleState: {
		Headline: "Held up: the state topic can't be written",
		Advice:   "What was reported can't be noted, so nothing more is sent. Mend the brokers (disk, replicas in sync, ACLs); nothing is lost.",
	},
	consumer.TroubleDeadLetters: {
		Headline: "Held up: the dead-letter topic can't be written",
		Advice:   "Dead letters wait, and with them the offsets behind them. Mend the topic (disk, replicas in sync, ACLs); nothing is lost.",
	},
	consumer.TroubleFetch: {
		Headline: "Held up: records can't be read",
		Advice:   "See the log for what the brokers answer. It goes on by itself.",
	},
}

func ofBrokers(s *Status) *Summary {
	for _, trouble := range []string{consumer.TroubleState, consumer.TroubleDeadLetters, consumer.TroubleFetch} {
		var where []string
		for i := range s.Partitions {
			if s.Partitions[i].Trouble == trouble {
				where = append(where, strconv.Itoa(int(s.Partitions[i].Partition)))
			}
		}
		if len(where) > 0 {
			found := brokerTexts[trouble]
			found.Level, found.Detail = levelBad, "Of "+partitionsText(where)+"."
			return &found
		}
	}
	return nil
}

// gateTexts are for outages that are too short yet to be called a pause.
var gateTexts = map[reporter.Reason]string{
	reporter.Throttled:       "the API asks to go slower",
	reporter.Unavailable:     "the API is not available",
	reporter.ServerError:     "the API answers with errors",
	reporter.Timeout:         "the API does not answer in time",
	reporter.Network:         "the API can't be reached",
	reporter.Unauthenticated: "the API wants another token",
	reporter.Forbidden:       "the account may not create events",
	reporter.BadAnswer:       "the endpoint does not answer as the API does",
}

func ofGate(s *Status) *Summary {
	gate := s.Reporter.Gate
	if gate.Open {
		return nil
	}
	return &Summary{Level: levelBusy, Headline: "Waiting: " + gateTexts[gate.Reason], Detail: waiting(s.Now, gate)}
}

func waiting(now time.Time, gate reporter.GateStatus) string {
	text := "For " + lasting(now.Sub(gate.Since))
	if wait := gate.NextTry.Sub(now); wait > time.Second {
		text += "; the next try is in " + lasting(wait)
	}
	if gate.LastError != "" {
		text += ". It said: " + gate.LastError
	}
	return text
}

func ofFlow(s *Status) Summary {
	found := ofRate(s)
	var paused []string
	for i := range s.Partitions {
		if s.Partitions[i].Paused {
			paused = append(paused, strconv.Itoa(int(s.Partitions[i].Partition)))
		}
	}
	if len(paused) > 0 {
		found.Level = levelPaused
		found.Headline += "; " + partitionsText(paused) + " paused"
	}
	return found
}

func ofRate(s *Status) Summary {
	rate := s.Rates.Reported
	switch {
	case len(s.Partitions) == 0:
		return Summary{
			Level: levelOK, Headline: "Standing by: other replicas have all the partitions",
			Detail: "This one takes over when one of them goes.",
		}
	case rate == 0 && s.Backlog.Records == 0:
		return Summary{Level: levelOK, Headline: "Up to date: nothing to report"}
	case rate == 0 && int64(s.Backlog.Waiting) == s.Backlog.Records:
		return Summary{Level: levelOK, Headline: fmt.Sprintf("Up to date: %s wait for their parents", events(s.Backlog.Waiting))}
	case rate == 0:
		return Summary{
			Level: levelBusy, Headline: "Nothing was reported in the last ten seconds",
			Detail: fmt.Sprintf("%s records have no outcome yet.", count(s.Backlog.Records)),
		}
	}
	headline := fmt.Sprintf("Reporting %s events/s", perSecond(rate))
	behind := time.Duration(s.Rates.EndToEnd * float64(time.Second))
	if behind < slowFrom {
		return Summary{Level: levelOK, Headline: headline + ", up to date", Detail: flowDetail(s, behind)}
	}
	return Summary{Level: levelBusy, Headline: headline + ", " + lasting(behind) + " behind", Detail: flowDetail(s, behind)}
}

// slowFrom is how long after its record an event is reported that is no more
// "up to date".
const slowFrom = 2 * time.Second

func flowDetail(s *Status, behind time.Duration) string {
	text := "An event reaches the API " + lasting(behind) + " after it was published"
	if rate, limit := s.Rates.Reported, s.Reporter.Rate; limit > 0 && rate > 0.9*limit {
		what := "the rate limit of " + perSecond(limit) + "/s"
		if s.Reporter.Learned > 0 && (s.Reporter.Configured == 0 || limit < s.Reporter.Configured) {
			what = "the API's quota, learned to be about " + perSecond(limit) + "/s,"
		}
		return text + "; " + what + " is what holds it up."
	}
	return text + "."
}

func inFlight(s *Status) string {
	return fmt.Sprintf("%s in flight, %s pending.", events(s.InFlight), count(int64(s.Pending)))
}

func events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return count(int64(n)) + " events"
}

func remaining(partitions []consumer.PartitionStatus) (n int64) {
	for i := range partitions {
		n += partitions[i].Remaining
	}
	return n
}

func partitionsText(ids []string) string {
	if len(ids) == 1 {
		return "partition " + ids[0]
	}
	return "partitions " + strings.Join(ids, ", ")
}

// count writes a number with commas between its thousands.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// perSecond writes a rate with as many digits as say something.
func perSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return count(int64(rate + 0.5))
}

// lasting writes a duration as a person would say it.
func lasting(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(0, d.Milliseconds()))
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
