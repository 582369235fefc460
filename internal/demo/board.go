package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// board is a job board: it has companies and jobs at the Talent Solution, and
// searches them for its visitors. Their events have the request ID
// and the jobs of the answer, as the service requires.
type board struct {
	client *http.Client
	api    string // the address of the project

	ready chan results
	last  atomic.Pointer[results]
	stop  context.CancelFunc
	busy  sync.WaitGroup
}

// results are the answer to a search.
type results struct {
	requestID string
	jobs      []string
}

const (
	// searchers is the number of concurrent searches, and ahead the number
	// of answers that wait for a visitor.
	searchers = 4
	ahead     = 64
	// searchTimeout bounds one call.
	searchTimeout = 10 * time.Second
)

// openBoard creates companies and jobs and starts searching.
func openBoard(ctx context.Context, api string, seed uint64) (*board, error) {
	b := &board{client: &http.Client{Timeout: searchTimeout}, api: api, ready: make(chan results, ahead)}
	rng := rand.New(rand.NewPCG(seed, 0x626f617264))
	if err := b.fill(ctx, rng); err != nil {
		return nil, fmt.Errorf("fill the job board: %w", err)
	}
	first, err := b.search(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("search the job board: %w", err)
	}
	b.last.Store(&first)
	ctx, b.stop = context.WithCancel(ctx)
	for range searchers {
		// Each has its own generator: they are not for concurrent use.
		own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		b.busy.Go(func() { b.searchOn(ctx, own) })
	}
	// Otherwise the first visitors would all get the first answer.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for giveUp := time.Now().Add(searchTimeout); len(b.ready) < ahead && time.Now().Before(giveUp); {
		<-tick.C
	}
	return b, nil
}

func (b *board) close() {
	b.stop()
	b.busy.Wait()
	b.client.CloseIdleConnections()
}

var (
	companies = []string{"Alpenbahn", "Nordlicht Klinik", "Casa Verde", "Maple & Sons", "Sakura Foods", "Riverside Logistics"}
	trades    = []string{"Nurse", "Software engineer", "Train driver", "Cook", "Accountant", "Carpenter", "Teacher", "Warehouse clerk", "Electrician", "Baker"}
	places    = []string{"Munich, Germany", "Kraków, Poland", "São Paulo, Brazil", "Tokyo, Japan", "Montréal, Canada", "Zürich, Switzerland"}
	// searched are the visitors' queries; the empty one finds everything.
	searched = []string{"", "", "nurse", "engineer", "driver", "cook", "accountant", "carpenter", "teacher", "clerk", "electrician", "baker"}
)

// fill creates every trade at two places of each company.
func (b *board) fill(ctx context.Context, rng *rand.Rand) error {
	for i, company := range companies {
		var created struct{ Name string }
		body := map[string]any{"displayName": company, "externalId": fmt.Sprint("company-", i+1)}
		if err := b.call(ctx, "companies", body, &created); err != nil {
			return err
		}
		for j, trade := range trades {
			for k := range 2 {
				place := places[(i+j+3*k)%len(places)]
				job := map[string]any{
					"company":       created.Name,
					"requisitionId": fmt.Sprintf("%d-%02d-%d", i+1, j+1, k+1),
					"title":         trade,
					"description":   fmt.Sprintf("%s looks for a %s in %s.", company, trade, place),
					"addresses":     []string{place},
					"languageCode":  "en",
					"applicationInfo": map[string]any{
						"uris": []string{fmt.Sprintf("https://jobs.example.com/%d-%02d-%d", i+1, j+1, k+1)},
					},
					// Some are advertised more than others.
					"promotionValue": rng.IntN(5),
				}
				if err := b.call(ctx, "jobs", job, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// searchOn keeps answers ready until ctx ends.
func (b *board) searchOn(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		found, err := b.search(ctx, searched[rng.IntN(len(searched))])
		if err != nil {
			// Meanwhile, visitors use the latest answer.
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case b.ready <- found:
		case <-ctx.Done():
		}
	}
}

// pageSize is the maximum number of jobs in an answer.
const pageSize = 20

func (b *board) search(ctx context.Context, query string) (results, error) {
	var answer struct {
		MatchingJobs []struct {
			Job struct{ Name string }
		}
		Metadata struct{ RequestID string }
	}
	err := b.call(ctx, "jobs:search", map[string]any{
		"requestMetadata": map[string]any{"domain": "jobs.example.com", "sessionId": "demo", "userId": "demo"},
		"jobQuery":        map[string]any{"query": query},
		"maxPageSize":     pageSize,
	}, &answer)
	found := results{requestID: answer.Metadata.RequestID}
	for _, m := range answer.MatchingJobs {
		found.jobs = append(found.jobs, m.Job.Name)
	}
	if err == nil && (found.requestID == "" || len(found.jobs) == 0) {
		err = fmt.Errorf("the search for %q found nothing", query)
	}
	return found, err
}

// results returns the answer to a visitor's search: a new one, or the latest again
// if searches are slower than visitors, as if a page were opened twice.
func (b *board) results(shown int) (requestID string, jobs []string) {
	select {
	case found := <-b.ready:
		b.last.Store(&found)
	default:
	}
	found := b.last.Load()
	return found.requestID, found.jobs[:min(shown, len(found.jobs))]
}

// call posts to a collection of the project.
func (b *board) call(ctx context.Context, to string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.api+"/"+to, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", to, resp.Status, got)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}
