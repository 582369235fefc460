package talent

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestResolveAddress(t *testing.T) {
	for address, want := range map[string]string{
		"1600 Amphitheatre Parkway, Mountain View, CA 94043, USA": "STREET_ADDRESS US CA Mountain View 94043 [1600 Amphitheatre Parkway]",
		"Mountain View, CA, USA":                                  "LOCALITY US CA Mountain View  []",
		"Mountain View, California":                               "LOCALITY US CA Mountain View  []",
		"Downtown, Atlanta, GA, USA":                              "NEIGHBORHOOD US GA Atlanta  [Downtown]",
		"CA, USA":                                                 "ADMINISTRATIVE_AREA US CA   []",
		"Texas":                                                   "ADMINISTRATIVE_AREA US TX   []",
		"CA":                                                      "COUNTRY CA    []", // alone, a code is a country's
		"Toronto, CA":                                             "LOCALITY US CA Toronto  []",
		"Toronto, Canada":                                         "LOCALITY CA  Toronto  []",
		"94043, USA":                                              "POSTAL_CODE US   94043 []",
		"London, UK":                                              "LOCALITY GB  London  []",
		"Paris, FRA":                                              "LOCALITY FR  Paris  []",
		"Deutschland":                                             "COUNTRY DE    []",
		"Hauptstraße 5, Berlin, de":                               "STREET_ADDRESS DE  Berlin  [Hauptstraße 5]",
		"Berlin":                                                  "     [Berlin]",
		"":                                                        "     []",
		" , ,USA":                                                 "COUNTRY US    []",
		"Route 66":                                                "     [Route 66]",
		"12345":                                                   "     [12345]",
		"Hauptstraße 5, 10115, Germany":                           " DE    [Hauptstraße 5 10115]",
	} {
		l := resolveAddress(address)
		if got := fmt.Sprint(l.kind, " ", l.region, " ", l.area, " ", l.locality, " ", l.postalCode, " ", l.lines); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func TestAttributeFilterRefuses(t *testing.T) {
	for filter, want := range map[string]string{
		`a`:              "an operator",
		`a =`:            "a number or a quoted string",
		`a = "x`:         "closing quote",
		`a < "x"`:        "compares numbers",
		`= 1`:            "a custom attribute's key",
		`UPPER(a) = "x"`: "is not a function",
		`LOWER(a`:        "LOWER(KEY)",
		`(a = 1`:         "closing parenthesis",
		`a = 1 b = 2`:    "unexpected",
		`((((a = 1))))`:  "nested deeper than 3",
		strings.Repeat("a = 1 OR ", 100) + "a = 1": "has 101 comparisons",
		`a = "` + strings.Repeat("x", 10000) + `"`: "must be shorter than 10000",
	} {
		if _, err := parseAttributeFilter(filter); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", filter, err, want)
		}
	}
	match, err := parseAttributeFilter(`(LOWER(driving_license)="class \"a\"" OR EMPTY(driving_license)) AND driving_years > 10`)
	if err != nil {
		t.Fatal(err)
	}
	years := Object{"longValues": []any{"11"}, "filterable": true}
	for license, want := range map[string]bool{`Class "A"`: true, "Class B": false} {
		attributes := Object{"driving_years": years, "driving_license": Object{"stringValues": []any{license}, "filterable": true}}
		if match(attributes) != want {
			t.Errorf("%s: %v", license, !want)
		}
	}
	if !match(Object{"driving_years": years}) || match(Object{}) {
		t.Error("the documentation's example finds other jobs")
	}
}

// Ranges without an end, and entries in two currencies.
func TestAnnualize(t *testing.T) {
	usd := func(units string) Object { return Object{"currencyCode": "USD", "units": units} }
	for name, tt := range map[string]struct {
		entry Object
		want  string
	}{
		"no maximum":     {Object{"unit": "MONTHLY", "range": Object{"minCompensation": usd("100")}}, "map[minCompensation:map[currencyCode:USD units:1200]]"},
		"no minimum":     {Object{"unit": "YEARLY", "range": Object{"maxCompensation": usd("9")}}, "map[maxCompensation:map[currencyCode:USD units:9] minCompensation:map[currencyCode:USD]]"},
		"units a year":   {Object{"unit": "ONE_TIME", "expectedUnitsPerYear": 1.5, "amount": Object{"currencyCode": "EUR", "units": "3", "nanos": 5e8}}, "map[maxCompensation:map[currencyCode:EUR nanos:2.5e+08 units:5] minCompensation:map[currencyCode:EUR nanos:2.5e+08 units:5]]"},
		"no year's sum":  {Object{"unit": "ONE_TIME", "amount": usd("5")}, "<nil>"},
		"nothing at all": {Object{"unit": "YEARLY"}, "<nil>"},
	} {
		fields := Object{"employmentTypes": []any{"FULL_TIME"}, "compensationInfo": Object{"entries": []any{tt.entry}}}
		annualize(fields)
		if got := fmt.Sprint(fields["compensationInfo"].(Object)["annualizedTotalCompensationRange"]); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	fields := Object{"compensationInfo": Object{"entries": []any{Object{"unit": "YEARLY", "amount": usd("5")}}}}
	if annualize(fields); fields["compensationInfo"].(Object)["annualizedTotalCompensationRange"] != nil {
		t.Error("defaults of full-time jobs were used for another")
	}
}

// Cleaning never makes a text longer, changes nothing the second time, and leaves
// no tag but those of simple formatting.
func FuzzClean(f *testing.F) {
	for _, s := range []string{
		"", "a < b", "<b class=x>1</b>", "<<b>script>x</script>", "<script><b>x</b>", "<textarea><script>x</script></textarea>", "<object><p>x</object>y",
		"<b", "</b x>", "<!-- <b> -->", "<plaintext><i>", "&lt;script&gt;", "<B/>", "<ul><li>x</li></ul>", "\x00<\x00b>", "<svg><title><b>", "<a<b>c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := clean(s)
		if len(once) > len(s) {
			t.Errorf("%q of %d bytes became %q of %d", s, len(s), once, len(once))
		}
		if twice := clean(once); twice != once {
			t.Errorf("%q became %q, and that %q", s, once, twice)
		}
		for z := html.NewTokenizer(strings.NewReader(once)); ; {
			switch kind := z.Next(); kind {
			case html.ErrorToken:
				return
			case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
				if name, attributes := z.TagName(); !simpleTags[string(name)] || attributes {
					t.Errorf("%q became %q", s, once)
				}
			case html.CommentToken, html.DoctypeToken:
				t.Errorf("%q became %q", s, once)
			}
		}
	})
}
