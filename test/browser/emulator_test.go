package browsertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clientevents/clientevents/emulator"
)

// project is a project of an emulator, asked over HTTP.
type project struct {
	t   *testing.T
	url string
}

// post posts to a path below the project and returns the answer.
func (p *project) post(path string, body any) (answer map[string]any) {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.Post(p.url+"/"+path, "application/json", bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s: %s", path, resp.Status, got)
	}
	if err := json.Unmarshal(got, &answer); err != nil {
		p.t.Fatal(err)
	}
	return answer
}

type object = map[string]any

func (p *project) job(company any, title string) string {
	p.t.Helper()
	return p.post("jobs", object{"job": object{
		"companyName": company, "requisitionId": strings.ToLower(title), "title": title,
		"description": title + " wanted.", "languageCode": "en", "addresses": []string{"Munich, Germany"},
		"applicationInfo": object{"uris": []string{"https://jobs.example.com/" + strings.ToLower(title)}},
	}})["name"].(string)
}

func (p *project) search(query string) (requestID string) {
	p.t.Helper()
	answer := p.post("jobs:search", object{
		"requestMetadata": object{"domain": "d", "sessionId": "s", "userId": "u"}, "jobQuery": object{"query": query},
	})
	return answer["metadata"].(object)["requestId"].(string)
}

func (p *project) event(id, parent, requestID, what string, jobs ...string) {
	p.t.Helper()
	event := object{
		"eventId": id, "requestId": requestID, "createTime": time.Now().UTC().Format(time.RFC3339),
		"jobEvent": object{"type": what, "jobs": jobs},
	}
	if parent != "" {
		event["parentEventId"] = parent
	}
	p.post("clientEvents", object{"clientEvent": event})
}

// nested is the text of an event of the page that is below another, below
// another: the types that lead to it.
const nested = `[...document.querySelectorAll('.type')].map((e) => {
	const way = [];
	for (let li = e.closest('li'); li; li = li.parentElement.closest('li')) way.unshift(li.querySelector('.type').textContent);
	return way.join(' > ');
})`

// TestEmulatorPage sees events arrive as journeys, and what is wrong with some.
func TestEmulatorPage(t *testing.T) {
	b := startBrowser(t)
	api := emulator.New(emulator.Options{})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = api.Close() }) // lets those go that wait for events
	p := b.open(t, server.URL)
	p.size(1000, 1000, false)
	v3 := &project{t, server.URL + "/v3/projects/demo"}

	p.shows("#headline", "^No jobs here yet; 0 events accepted$")
	p.shows("#none", "None yet. Point a client at this address: "+server.URL)
	p.accessible("without events")
	p.size(1000, 1000, false)
	v3.event("lonely", "", "made-up", "IMPRESSION", "projects/demo/jobs/1")
	p.shows("#headline", "; 1 event accepted$")
	p.shows("#detail", "only then can this page show which events the service would keep")

	company := v3.post("companies", object{"company": object{"displayName": "Alpenbahn", "externalId": "a"}})["name"]
	driver, nurse := v3.job(company, "Driver"), v3.job(company, "Nurse")
	p.shows("#headline", "^2 jobs of 1 company; 1 event accepted$")
	p.await("the jobs to be listed", `/Driver.*Alpenbahn.*open/.test(document.querySelector('#jobs').textContent)`)

	// A journey, as it happens: each event is there without a reload.
	request := v3.search("")
	v3.event("i1", "", request, "IMPRESSION", driver, nurse)
	p.shows(".journey .event", "impression.*Driver, Nurse")
	v3.event("v1", "i1", request, "VIEW", nurse)
	v3.event("s1", "v1", request, "APPLICATION_START", nurse)
	v3.event("f1", "s1", request, "APPLICATION_FINISH", nurse)
	p.await("a job with its company", `[...document.querySelectorAll('.what')].some((e) => e.textContent === 'Nurse at Alpenbahn')`)
	p.await("the journey as a tree", nested+`.includes('impression > view > application start > application finish')`)
	v3.event("v1", "i1", request, "VIEW", nurse)
	p.await("the repetition to be shown", `document.querySelector('.twice')?.textContent === 'duplicate ID'`)

	// The same in v4, whose events name no parent.
	v4 := &project{t, server.URL + "/v4/" + tenantOf(t, api)}
	request4 := v4.post("jobs:search", object{"requestMetadata": object{"domain": "d", "sessionId": "s", "userId": "u"}})["metadata"].(object)["requestId"].(string)
	for _, e := range []struct{ id, what string }{{"i4", "IMPRESSION"}, {"v4", "VIEW"}, {"w4", "VIEW"}, {"r4", "APPLICATION_REDIRECT"}} {
		v4.post("clientEvents", object{
			"eventId": e.id, "requestId": request4, "createTime": time.Now().UTC().Format(time.RFC3339),
			"jobEvent": object{"type": e.what, "jobs": []string{api.Jobs()[0].Name}},
		})
	}
	p.await("a tree without named parents", nested+`.includes('impression > view > application redirect')`)

	if eval[bool](p, nested+`.includes('impression > view > view')`) {
		t.Error("a view is shown as what another view led to")
	}

	// What the service would discard.
	v3.event("bad1", "", "made-up", "IMPRESSION", driver)
	v3.event("bad2", "i1", request, "BOOKMARK", "projects/demo/jobs/there-is-none")
	p.await("a warning of a request id", `[...document.querySelectorAll('.warning')].some((e) => /^requestId: no answer for .* had this id$/.test(e.textContent))`)
	p.await("a warning of a job", `[...document.querySelectorAll('.warning')].some((e) => /^jobEvent.jobs: there is no job .*there-is-none/.test(e.textContent))`)
	p.shows("#detail", "^[0-9]+ of them would be discarded")
	p.shows("#live", "^live$")

	for _, scheme := range []string{"light", "dark"} {
		p.scheme(scheme)
		p.readable()
	}
	p.accessible("with journeys")
	p.size(1000, 1000, false)
	p.screenshot("emulator")
	p.size(360, 740, true)
	p.noSideways()
	p.size(1000, 1000, false)

	p.click("#faulty")
	p.await("only journeys with a fault", `[...document.querySelectorAll('.journey')].every((e) => e.querySelector('.warning')) && document.querySelectorAll('.journey').length === 2`)
	p.click("#faulty")
	p.typeInto("#find", "r4")
	p.await("one journey to be found", `document.querySelectorAll('.journey').length === 1`)
	p.typeInto("#find", " ")

	// What is held stays as it is, while the count continues.
	p.click("#hold")
	before := eval[int](p, `document.querySelectorAll('.journey').length`)
	accepted := api.Stats().Accepted
	v3.event("later", "", v3.search(""), "IMPRESSION", driver)
	p.shows("#headline", fmt.Sprintf("; %d events accepted$", accepted+1))
	if n := eval[int](p, `document.querySelectorAll('.journey').length`); n != before {
		t.Errorf("%d journeys are shown, where %d were held", n, before)
	}
	p.click("#hold")
	p.await("the later one", fmt.Sprintf(`document.querySelectorAll('.journey').length === %d`, before+1))

	// Text is text.
	v3.event("<img src=x onerror=alert(1)>", "", "<b>bold</b>", "IMPRESSION", driver)
	p.await("an id that looks like markup", `[...document.querySelectorAll('.journey h3 code')].some((e) => e.textContent === '<b>bold</b>')`)
}

func tenantOf(t *testing.T, api *emulator.Emulator) string {
	t.Helper()
	tenant, _, ok := strings.Cut(api.Jobs()[0].Name, "/jobs/")
	if !ok {
		t.Fatalf("a job's name is %s", api.Jobs()[0].Name)
	}
	return tenant
}
