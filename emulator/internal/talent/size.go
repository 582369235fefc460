package talent

// resize accounts for the memory of a resource whose fields become o. size is the
// previous size of the resource, and is updated. An error changes nothing.
func (c *Catalog) resize(size *int64, o Object) *Error {
	grown := sizeOf(o) - *size
	if grown > 0 && c.bytes+grown > c.maxBytes {
		return errorf(ResourceExhausted, "The emulator uses %d of %d bytes: delete resources first.", c.bytes, c.maxBytes)
	}
	c.account(size, grown)
	return nil
}

// account adds to the size of a resource.
func (c *Catalog) account(size *int64, grown int64) {
	*size += grown
	c.bytes += grown
}

// sizeOf estimates the memory of a resource in bytes: twice that of its fields, since
// searches also store the words of texts, and that of its structures.
func sizeOf(o Object) int64 { return 2*sizeOfValue(o) + 1024 }

func sizeOfValue(v any) int64 {
	size := int64(16) // the interface
	switch v := v.(type) {
	case string:
		size += 16 + int64(len(v))
	case []any:
		size += 24
		for _, element := range v {
			size += sizeOfValue(element)
		}
	case Object:
		size += 48
		for name, value := range v {
			size += 32 + int64(len(name)) + sizeOfValue(value)
		}
	}
	return size
}
