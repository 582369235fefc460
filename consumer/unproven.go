package consumer

import "context"

// joinUnproven begins to count the partition's dead letters without evidence, with
// the previous owner's count.
func (o *owner) joinUnproven() {
	n := 0
	if o.previous != nil {
		n = o.previous.unproven
	}
	o.c.cfg.Ownership.Unproven().Join(o.partition.ID(), n, o.deadLetters.set)
}

// recordUnproven records the count if it changed: before the dead letters that it
// counts, so that a restart does not allow more of them. While records are examined
// and once the intake has stopped, the session says more, and is written with the
// count anyway.
func (o *owner) recordUnproven(ctx context.Context) error {
	if !o.restored.Load() || o.intake.Err() != nil || !o.c.cfg.Ownership.Unproven().Take(o.partition.ID()) {
		return nil
	}
	return o.writeSession(ctx, session{poison: o.poison})
}
