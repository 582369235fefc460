package consumer

// signal wakes one waiting goroutine. Setting it again before it was received has
// no effect.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
