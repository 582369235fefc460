package admin

import (
	"net/http"
	"net/url"
	"sync"
	"time"
)

// longestOverride is the longest time that an override may hold; a lasting value
// belongs in the configuration.
const longestOverride = 24 * time.Hour

// override is a setting that ends after some time.
type override struct {
	value float64
	until time.Time
	timer *time.Timer
}

func overrideTime(params url.Values) (time.Duration, *refusal) {
	d, err := time.ParseDuration(params.Get("for"))
	if err != nil || d < time.Second || d > longestOverride {
		return 0, refuse(http.StatusBadRequest, "for: %q: expected a duration from 1s to %s, such as 15m; a lasting value belongs in the configuration",
			params.Get("for"), longestOverride)
	}
	return d, nil
}

// set starts an override for d, or ends it if d is 0, and calls end when its time is
// over. The caller holds mu.
func (o *override) set(value float64, d time.Duration, end func(), mu *sync.Mutex) {
	if o.timer != nil {
		o.timer.Stop()
	}
	if *o = (override{}); d == 0 {
		return
	}
	o.value, o.until = value, time.Now().Add(d)
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		mu.Lock()
		defer mu.Unlock()
		if o.timer == timer { // otherwise it was replaced meanwhile
			*o = override{}
			end()
		}
	})
	o.timer = timer
}
