package consumer

// signal wakes one goroutine that waits for something to do. Setting it again
// before it was seen changes nothing.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
