package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/itchyny/gojq"
)

// eventNamespace is the namespace of the UUIDs that event_id makes. It is fixed:
// other programs may make the same IDs (docs/mapping/README.md).
var eventNamespace = uuid.MustParse("6f2c9e5a-0d3b-5c41-9a7e-3b1f8d4c2e60")

// partSeparator stands between the parts of an ID; no part may contain it.
const partSeparator = "\x1f"

// eventID implements event_id(a; b; …): the UUID of version 5 (RFC 9562) of the
// parts, joined by U+001F. A number is taken as it is spelled. A part that is absent
// is an error, since different events would get the same ID.
func eventID(_ any, args []any) any {
	parts := make([]string, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			parts[i] = arg
		case int, float64, *big.Int, json.Number, bool:
			text, err := gojq.Marshal(arg)
			if err != nil {
				return err
			}
			parts[i] = string(text)
		default:
			return fmt.Errorf("event_id cannot be applied to: %s", gojq.TypeOf(arg))
		}
		if parts[i] == "" || strings.Contains(parts[i], partSeparator) {
			return errors.New("event_id cannot be applied to: empty string")
		}
	}
	return uuid.NewSHA1(eventNamespace, []byte(strings.Join(parts, partSeparator))).String()
}

// fromEpoch implements from_epoch_seconds and from_epoch_millis: the RFC 3339 time,
// in UTC, of a number or of a text that holds one. Fractions are kept, down to the
// nanosecond.
func fromEpoch(name string, perSecond int64) func(any, []any) any {
	return func(v any, _ []any) any {
		text, ok := v.(string)
		if !ok {
			switch v.(type) {
			case int, float64, *big.Int, json.Number:
			default:
				return fmt.Errorf("%s cannot be applied to: %s", name, gojq.TypeOf(v))
			}
			encoded, err := gojq.Marshal(v)
			if err != nil {
				return err
			}
			text = string(encoded)
		}
		if t, ok := parseEpoch(text, perSecond); ok {
			return t.Format(time.RFC3339Nano)
		}
		return fmt.Errorf("%s: expected a number of seconds or milliseconds since 1970", name)
	}
}

// parseEpoch reads a time exactly: a floating-point number has too few digits for
// nanoseconds.
func parseEpoch(text string, perSecond int64) (time.Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		seconds := floorDiv(n, perSecond)
		t := time.Unix(seconds, (n-seconds*perSecond)*(int64(time.Second)/perSecond)).UTC()
		return t, t.Year() >= 1 && t.Year() <= 9999 && seconds < math.MaxInt32*200 && seconds > -math.MaxInt32*200
	}
	if len(text) > 40 || strings.ContainsAny(text, "/_xXpPbBoO") {
		return time.Time{}, false
	}
	// An exponent may make a number of millions of digits.
	if f, _, err := big.ParseFloat(text, 10, 64, big.ToNearestEven); err != nil || f.IsInf() || f.MantExp(nil) > 64 || f.MantExp(nil) < -200 {
		return time.Time{}, false
	}
	units, ok := new(big.Rat).SetString(text)
	if !ok {
		return time.Time{}, false
	}
	nanoseconds := units.Mul(units, big.NewRat(int64(time.Second), perSecond))
	whole := new(big.Int).Div(nanoseconds.Num(), nanoseconds.Denom())
	seconds, rest := new(big.Int).DivMod(whole, big.NewInt(int64(time.Second)), new(big.Int))
	if !seconds.IsInt64() || seconds.Int64() > math.MaxInt32*200 || seconds.Int64() < -math.MaxInt32*200 {
		return time.Time{}, false
	}
	t := time.Unix(seconds.Int64(), rest.Int64()).UTC()
	return t, t.Year() >= 1 && t.Year() <= 9999
}
