package emulator

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/clientevents/clientevents/emulator/internal/protojson"
)

// keptEvent is an accepted event in the form of the DataDir.
type keptEvent struct {
	Time      time.Time `json:"time"`
	Version   string    `json:"version"`
	Parent    string    `json:"parent"`
	Part      int       `json:"part,omitzero"`
	Duplicate bool      `json:"duplicate,omitzero"`
	Warnings  []Warning `json:"warnings,omitempty"`
	Raw       []byte    `json:"raw"`
}

func (a *Accepted) kept() keptEvent {
	return keptEvent{a.Time, a.Version, a.Parent, a.Part, a.Duplicate, a.Warnings, a.Raw}
}

// accepted returns the event that was kept under the number.
func (k *keptEvent) accepted(number int64) (Accepted, error) {
	i := slices.IndexFunc(eventVersions, func(v *version) bool { return v.name == k.Version })
	if i < 0 {
		return Accepted{}, fmt.Errorf("its version %q is not known", k.Version)
	}
	d := protojson.NewDecoder()
	d.Reset(k.Raw)
	var r eventRequest
	if fault := eventVersions[i].event.Root(d, &r); fault != nil {
		return Accepted{}, fmt.Errorf("it can't be read: %s", fault.Message)
	}
	return Accepted{
		Number: number, Time: k.Time, Version: k.Version, Parent: k.Parent, Part: k.Part,
		Duplicate: k.Duplicate, Warnings: k.Warnings, Event: r.event, Raw: k.Raw,
	}, nil
}

// restore reads the events of the DataDir into the store, which from then on keeps
// its events there.
func (e *Emulator) restore() error {
	var numbers []int64
	err := e.catalog.EachEvent(func(number int64, record []byte) error {
		numbers = append(numbers, number)
		var k keptEvent
		if err := json.Unmarshal(record, &k); err != nil {
			return err
		}
		a, err := k.accepted(number)
		if err == nil {
			e.store.restore(a)
		}
		return err
	})
	if err != nil {
		return err
	}
	e.store.disk = e.catalog
	for _, number := range numbers[:len(numbers)-len(e.store.accepted())] { // Keep may be smaller than in the earlier run
		e.catalog.DropEvent(number)
	}
	return nil
}
