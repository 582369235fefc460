package health

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Count writes a number with commas between its thousands.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// PerSecond writes a rate with one decimal if it is below 10.
func PerSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return Count(int64(rate + 0.5))
}

// Lasting writes a duration in its largest unit.
func Lasting(d time.Duration) string {
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

// Clock writes a time of day in UTC, with the date if it is long before now.
func Clock(t, now time.Time) string {
	t = t.UTC()
	if now.Sub(t) > 12*time.Hour {
		return t.Format("2006-01-02 15:04:05 UTC")
	}
	return t.Format("15:04:05 UTC")
}

// Percent writes a share of 0 to 1.
func Percent(share float64) string {
	if p := share * 100; p > 0 && p < 10 {
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.Itoa(int(share*100+0.5)) + " %"
}

// Events writes a number of events.
func Events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return Count(int64(n)) + " events"
}

// partitionsText names partitions.
func partitionsText(ids []int32) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	if len(ids) == 1 {
		return "partition " + words[0]
	}
	return "partitions " + strings.Join(words, ", ")
}

// sentence makes one of an error's text.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// lowerFirst begins a text with a small letter.
func lowerFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToLower(s[:1]) + s[1:]
}
