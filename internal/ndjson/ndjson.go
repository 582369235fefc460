// Package ndjson reads newline-delimited JSON: one record a line.
package ndjson

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
)

// MaxLine is how long a line may be, in bytes.
const MaxLine = 16 << 20

// ErrTooLong is given for a line that is longer than MaxLine; the lines after
// it are read as usual.
var ErrTooLong = errors.New("the line is too long")

// Line is one line of a file.
type Line struct {
	// Number counts from 1.
	Number int
	// Data is the line without its end; it is valid until the next line.
	Data []byte
	// Err is ErrTooLong, or an error of the reader, after which there is no
	// more.
	Err error
}

// Lines reads the lines of r that are not empty. Lines may end with CRLF.
func Lines(r io.Reader) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		var buf []byte
		for n := 1; ; n++ {
			line := Line{Number: n}
			buf, line.Err = readLine(in, buf[:0])
			line.Data = bytes.TrimSuffix(buf, []byte("\r"))
			over := errors.Is(line.Err, io.EOF)
			if over {
				line.Err = nil
			}
			if len(bytes.TrimSpace(line.Data)) > 0 || line.Err != nil {
				if !yield(line) {
					return
				}
			}
			if over || line.Err != nil && !errors.Is(line.Err, ErrTooLong) {
				return
			}
		}
	}
}

func readLine(in *bufio.Reader, buf []byte) ([]byte, error) {
	tooLong := false
	for {
		part, err := in.ReadSlice('\n')
		if !tooLong {
			buf = append(buf, part...)
		}
		if len(buf) > MaxLine {
			tooLong, buf = true, buf[:0]
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case tooLong && (err == nil || errors.Is(err, io.EOF)):
			return nil, ErrTooLong
		}
		return bytes.TrimSuffix(buf, []byte("\n")), err
	}
}
