// Package ndjson reads newline-delimited JSON: one record a line.
package ndjson

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/clientevents/clientevents/event"
)

// MaxLine is how long a line may be, in bytes without its end.
const MaxLine = 16 << 20

// Line is one line of a file.
type Line struct {
	// Number counts from 1.
	Number int
	// Data is the line without its end; it is valid until the next line. It is
	// nil where the line is too long.
	Data []byte
	// TooLong says that the line has more than MaxLine bytes.
	TooLong bool
}

// Opens reports whether the line is the first of a JSON value that is printed over several
// lines, as jq and most libraries print it unless they are told otherwise.
func (l Line) Opens() bool {
	text := string(bytes.TrimSpace(l.Data))
	return text == "{" || text == "[" || text == "[{"
}

// PrintedHint tells how to make lines of a file in which a line opens a value.
func PrintedHint(file string) string {
	return file + ": an event must be on one line; here JSON is printed over several. Convert it: jq -c . FILE (jq -c '.[]' FILE for an array)"
}

// Decode reads the line's event. A line that is too long is a fault like any
// other.
func (l Line) Decode(v event.Version) (*event.Event, *event.Fault) {
	if l.TooLong {
		return nil, &event.Fault{Reason: event.ReasonTooLarge, Detail: fmt.Sprintf("the line is longer than %d bytes", MaxLine)}
	}
	return event.Decode(l.Data, v)
}

// Lines reads the lines of r that are not blank, in memory that does not depend
// on how many or how long they are. Lines end with LF or CRLF, the last one
// with or without. An error of r comes last, with the line that it cut.
func Lines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		var buf []byte
		for n := 1; ; n++ {
			line := Line{Number: n}
			var err error
			buf, line.TooLong, err = readLine(in, buf[:0])
			over := errors.Is(err, io.EOF)
			if over {
				err = nil
			}
			line.Data = buf
			blank := len(bytes.Trim(buf, " \t\r")) == 0 && !line.TooLong
			if (!blank || err != nil) && !yield(line, err) || over || err != nil {
				return
			}
		}
	}
}

// readLine appends one line to buf, without its end. Of a line that is too long
// it keeps nothing, and reads on to the end.
func readLine(in *bufio.Reader, buf []byte) (line []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if !tooLong {
			buf = append(buf, part...)
		}
		more := errors.Is(err, bufio.ErrBufferFull)
		if !more {
			buf = bytes.TrimSuffix(bytes.TrimSuffix(buf, []byte("\n")), []byte("\r"))
		}
		// While there is more, the line's last byte may be the CR of its end.
		if len(buf) > MaxLine+1 || len(buf) > MaxLine && !more {
			tooLong, buf = true, nil
		}
		if !more {
			return buf, tooLong, err
		}
	}
}

// Interruptible is r for as long as ctx is not done; then reading gives ctx's
// error at once, even while r blocks, as a terminal does. The goroutine that
// reads r ends with r, or with the process.
func Interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, r)
		stop()
		in.CloseWithError(err)
	}()
	return out
}
