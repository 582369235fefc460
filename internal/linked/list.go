// Package linked is a doubly linked list whose elements contain their links. Other than
// with container/list, an element takes no second object, and may be in several lists.
package linked

// Links are the neighbors of an element in a list: nil at its ends.
type Links[E any] struct{ Prev, Next *E }

// List is a list of elements. Its methods take the function that returns the links
// that an element has for this list. The zero value is empty.
type List[E any] struct{ First, Last *E }

// Append adds an element that is not in the list at its end.
func (l *List[E]) Append(e *E, links func(*E) *Links[E]) {
	if l.Last == nil {
		l.First = e
	} else {
		links(l.Last).Next = e
	}
	links(e).Prev = l.Last
	l.Last = e
}

// Remove takes an element out of the list.
func (l *List[E]) Remove(e *E, links func(*E) *Links[E]) {
	of := links(e)
	if of.Prev == nil {
		l.First = of.Next
	} else {
		links(of.Prev).Next = of.Next
	}
	if of.Next == nil {
		l.Last = of.Prev
	} else {
		links(of.Next).Prev = of.Prev
	}
	*of = Links[E]{}
}
