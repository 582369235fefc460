package partition

import "github.com/clientevents/clientevents/event"

// Revoked is what remains of a partition that was revoked.
type Revoked struct {
	// Index holds the IDs of the events whose state records are durable, for a
	// later incarnation of the partition.
	Index *Index
	// Unrecorded are the accepted events that TakeAccepted did not return. The
	// next owner reports them again.
	Unrecorded []*event.Delivery
	// Unfinished are the records without an outcome, in no particular order.
	// Those in the hands of a writer are not among them.
	Unfinished []*Record
}

// Revoke ends the partition: no later call has an effect.
func (p *Partition) Revoke() Revoked {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked {
		return Revoked{Index: NewIndex(p.rules.Window)}
	}
	p.revoked = true
	r := Revoked{Unfinished: p.unfinished()}
	for i := range p.accepted {
		it := p.accepted[i].item
		p.index.remove(it.key)
		r.Unrecorded = append(r.Unrecorded, &it.Delivery)
	}
	r.Index, p.index = p.index, NewIndex(p.rules.Window)
	p.claims, p.accepted, p.deadLetters, p.raised, p.parents = nil, nil, nil, nil, newParents()
	p.inFlight, p.unwritten = 0, 0
	return r
}

// unfinished lists the records that have no outcome, each once.
func (p *Partition) unfinished() (records []*Record) {
	add := func(r *Record) {
		if !r.listed {
			r.listed = true
			records = append(records, r)
		}
	}
	for _, it := range p.claims {
		add(it.record)
		if it.copies != nil {
			for _, second := range *it.copies {
				add(second.record)
			}
		}
	}
	for i := range p.accepted {
		add(p.accepted[i].item.record)
	}
	for _, l := range p.deadLetters {
		add(l.Record)
	}
	return records
}
