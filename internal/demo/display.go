package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/clientevents/clientevents/internal/admin"
	"github.com/clientevents/clientevents/internal/health"
	"github.com/clientevents/clientevents/internal/progress"
	"github.com/clientevents/clientevents/internal/top"
)

// display draws the demo's progress on a terminal.
func (d *demo) display(ctx context.Context) {
	screen := progress.NewDisplay(d.o.Err)
	if screen == nil {
		return
	}
	defer screen.Clear()
	client := top.Client()
	top.Watch(ctx, time.Second/2, func() {
		all := top.Ask(ctx, client, []string{d.admin})
		if all[0].Err == nil {
			screen.Draw(d.lines(all[0].Status)...)
		}
	})
}

// lines shows the demo in at most 80 columns.
func (d *demo) lines(s *admin.Status) []string {
	outcomes := s.Outcomes
	published := max(d.published.Load(), int64(outcomes["reported"]+outcomes["duplicate"]+outcomes["dead_letter"]+outcomes["skipped"]))
	open := published - int64(outcomes["reported"]+outcomes["duplicate"]+outcomes["dead_letter"]+outcomes["skipped"])
	lag := "0 s"
	if !s.Backlog.Oldest.IsZero() {
		lag = health.Lasting(s.Now.Sub(s.Backlog.Oldest))
	}
	now := health.Doing(&s.Reporter, s.Now)
	if d.cut.Load() {
		now = fmt.Sprintf("stopping: waiting for %s", d.unfinishedText())
	}
	return []string{
		fmt.Sprintf("%s events/s   lag %s   %s dead letters   %s", health.PerSecond(s.Rates.Reported), lag, health.Percent(s.Recent.Share), now),
		fmt.Sprintf("published %s = reported %s + duplicates %s", health.Count(published), health.Count(int64(outcomes["reported"])), health.Count(int64(outcomes["duplicate"]))),
		fmt.Sprintf("  + dead letters %s + in progress %s, of these waiting for parent %s",
			health.Count(int64(outcomes["dead_letter"]+outcomes["skipped"])), health.Count(open), health.Count(int64(s.Backlog.Waiting))),
		s.Summary.Headline,
		"Status page " + d.admin + "   jobs and events http://" + d.listener.Addr().String(),
		"Ctrl-C to stop",
	}
}
