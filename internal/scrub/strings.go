package scrub

import "reflect"

// Strings removes the secrets from all strings that v leads to: those of exported
// fields, slices and maps. The keys of maps stay.
func (s *Scrubber) Strings(v any) {
	if s != nil {
		s.value(reflect.ValueOf(v))
	}
}

func (s *Scrubber) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if clean := s.Text(v.String()); v.CanSet() && clean != v.String() {
			v.SetString(clean)
		}
	case reflect.Interface:
		if text, ok := reflect.TypeAssert[string](v); ok && v.CanSet() {
			v.Set(reflect.ValueOf(s.Text(text)))
		} else if !v.IsNil() {
			s.value(v.Elem())
		}
	case reflect.Pointer:
		if !v.IsNil() {
			s.value(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.value(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			s.value(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			clean := reflect.New(v.Type().Elem()).Elem()
			clean.Set(v.MapIndex(key))
			s.value(clean)
			v.SetMapIndex(key, clean)
		}
	default:
	}
}
